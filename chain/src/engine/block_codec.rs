//! Our block as the engine carries it: a length and the block's own BCS bytes; its digest is [`Header::digest`](crate::block::Header::digest).
//!
//! - **Place**: `Ledger::propose` -> [`EngineBlock`] -> peers, block archive -> [`EngineBlock`] -> `Ledger::{verify, finalize}`
//! - **Shapes**: `length varint | BCS block`; at most `policy.max_block_bytes` and 64 KiB for header and lengths
//! - **Invariants**: a decoded block's body matches the roots in its header, so its digest stands for all of its bytes
//! - **Errors**: the engine's codec error, no detail (peer: sent something else than a block)

use std::sync::Arc;

use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, EncodeSize, Error, RangeCfg, Read, Write};
use commonware_consensus::{Block as ConsensusBlock, BoundedBlock, Heightable, types::Height};
use commonware_cryptography::{Digestible, sha256::Digest};

use crate::block::Block;

/// Longest encoded block in bytes; equal on all nodes of a chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockLimit {
    pub(crate) max_bytes: usize,
}

/// A block with the bytes it is sent and stored as.
#[derive(Clone, Debug)]
pub(crate) struct EngineBlock {
    block: Arc<Block>,
    digest: Digest,
    encoded: Bytes,
}

impl EngineBlock {
    /// Wraps a block that this node built, or the genesis block.
    pub(crate) fn new(block: Block) -> Self {
        let encoded = Bytes::from(block.encode());
        Self::from_parts(block, encoded)
    }

    /// The block.
    pub(crate) fn block(&self) -> &Arc<Block> {
        &self.block
    }

    /// How long it is on the wire, bytes.
    pub(crate) fn encoded_len(&self) -> usize {
        self.encoded.len()
    }

    fn from_parts(block: Block, encoded: Bytes) -> Self {
        let digest = Digest::from(*block.header.digest().as_bytes());
        Self { block: Arc::new(block), digest, encoded }
    }
}

impl Write for EngineBlock {
    fn write(&self, buffer: &mut impl BufMut) {
        self.encoded.write(buffer);
    }
}

impl EncodeSize for EngineBlock {
    fn encode_size(&self) -> usize {
        self.encoded.encode_size()
    }
}

impl Read for EngineBlock {
    type Cfg = BlockLimit;

    fn read_cfg(buffer: &mut impl Buf, limit: &BlockLimit) -> Result<Self, Error> {
        let encoded = Bytes::read_cfg(buffer, &RangeCfg::from(0..=limit.max_bytes))?;
        let block = Block::decode(&encoded, limit.max_bytes).map_err(|_| Error::Invalid("block", "not a block"))?;
        Ok(Self::from_parts(block, encoded))
    }
}

impl Digestible for EngineBlock {
    type Digest = Digest;

    fn digest(&self) -> Digest {
        self.digest
    }
}

impl Heightable for EngineBlock {
    fn height(&self) -> Height {
        Height::new(self.block.header.height.0)
    }
}

impl ConsensusBlock for EngineBlock {
    fn parent(&self) -> Digest {
        Digest::from(*self.block.header.parent.as_bytes())
    }
}

impl BoundedBlock for EngineBlock {
    fn max_encode_size(limit: &BlockLimit) -> usize {
        // A length varint of a u32 is at most 5 bytes.
        limit.max_bytes + 5
    }
}

#[cfg(test)]
pub(super) mod tests {
    use commonware_codec::{Decode as _, Encode as _};
    use riskveil_crypto::Digest32;
    use riskveil_exchange::{
        ids::Height as LedgerHeight,
        message::{Kind, MessageHeader},
    };

    use super::*;
    use crate::block::{Header, payload_root, tx_root};

    const LIMIT: BlockLimit = BlockLimit { max_bytes: 1000 };

    pub(in super::super) fn block(transactions: Vec<Vec<u8>>) -> Block {
        let header = Header {
            header: MessageHeader::new(Kind::BlockHeader),
            chain_id: Digest32::new([1; 32]),
            height: LedgerHeight(5),
            parent: Digest32::new([2; 32]),
            time_ms: 1,
            term: 3,
            proposer: [4; 32],
            tx_root: tx_root(&transactions),
            payload_root: payload_root(&[]),
            receipts_root: Digest32::ZERO,
            state_root: Digest32::ZERO,
            next_committee: None,
        };
        Block { header, transactions, payloads: Vec::new() }
    }

    #[test]
    fn a_block_comes_back_with_its_bytes_and_its_header_digest() {
        let sent = EngineBlock::new(block(vec![b"one".to_vec(), b"two".to_vec()]));
        let bytes = sent.encode();
        assert_eq!(bytes.len(), sent.encode_size());
        let received = EngineBlock::decode_cfg(bytes.clone(), &LIMIT).unwrap();
        assert_eq!(received.block(), sent.block());
        assert_eq!(received.encode(), bytes);
        assert_eq!(received.digest().as_ref(), sent.block().header.digest().as_bytes());
        assert_eq!((received.height().get(), received.parent().as_ref()), (5, [2; 32].as_slice()));
    }

    #[test]
    fn another_body_trailing_bytes_and_a_block_over_the_limit_are_refused() {
        let mut other_body = block(vec![b"one".to_vec()]);
        other_body.transactions[0] = b"two".to_vec();
        let bytes = EngineBlock::new(other_body).encode();
        assert!(EngineBlock::decode_cfg(bytes, &LIMIT).is_err());
        let good = EngineBlock::new(block(vec![b"one".to_vec()])).encode();
        assert!(EngineBlock::decode_cfg(good.clone(), &LIMIT).is_ok());
        let trailing = Bytes::from([good.as_ref(), &[0]].concat());
        assert!(EngineBlock::decode_cfg(trailing, &LIMIT).is_err());
        for length in 0..good.len() {
            assert!(EngineBlock::decode_cfg(good.slice(..length), &LIMIT).is_err(), "{length} bytes");
        }
        let long = EngineBlock::new(block(vec![vec![0; LIMIT.max_bytes]])).encode();
        assert!(EngineBlock::decode_cfg(long, &LIMIT).is_err());
    }
}
