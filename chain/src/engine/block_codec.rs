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
