//! Blocks altered in a file or on the wire, forged headers, certificates that too few signed.

use riskveil_chain::block::{Block, Header};
use riskveil_chain::error::LedgerError;
use riskveil_chain::light_client::LightClient;
use riskveil_tests::second::{Identity, ledger};

use crate::common::Chain;
use crate::world::{PUBLISHER, World, caught};

/// The block with INST-01's rows, and its parent's header.
fn rows_block(world: &World) -> (Block, Header) {
    let blocks = &world.chain.blocks;
    let at = blocks.iter().position(|block| !block.payloads.is_empty()).unwrap();
    (blocks[at].clone(), blocks[at - 1].header.clone())
}

fn committee(world: &World) -> Vec<Identity> {
    let engines = &world.chain.consortium.engines;
    engines.iter().map(|engine| Identity::from_seed(engine.seed().expose(|seed| *seed))).collect()
}

/// The member whose engine key a block names.
fn proposer(world: &World, block: &Block) -> String {
    let members = world.chain.consortium.genesis.members.iter();
    let named = members.filter(|member| member.engine_key.to_bytes() == block.header.proposer);
    named.map(|member| member.id.to_string()).next().unwrap_or_else(|| "no member".into())
}

fn why(refused: &LedgerError) -> String {
    match refused {
        LedgerError::Diverged { problem, .. } => problem.to_string(),
        other => other.to_string(),
    }
}

/// What a fresh replica of the consortium makes of the chain with this block in it; the proposer is who is at fault.
fn replayed(world: &World, block: Block) -> String {
    let fresh = Chain::new();
    for honest in &world.chain.blocks {
        let replaced = honest.header.height == block.header.height;
        let next = if replaced { &block } else { honest };
        if let Err(refused) = fresh.ledger.finalize(next) {
            return format!("block {} of {} refused: {}", next.header.height, proposer(world, next), why(&refused));
        }
        if replaced {
            return format!("block {} finalized", next.header.height);
        }
    }
    "no such block".into()
}

#[test]
fn a_tampered_block_file() {
    let world = World::new();
    let (block, _) = rows_block(&world);
    let mut bytes = block.encode();
    let at = bytes.len() - 2_000;
    bytes[at] ^= 1;
    let told = match Block::decode(&bytes, 1 << 20) {
        Ok(_) => format!("block {} of {PUBLISHER} decodes", block.header.height),
        Err(refused) => format!("block {} of {PUBLISHER}: {refused}", block.header.height),
    };
    caught(told, "block 2 of INST-01: a block's body does not match its header");
}

#[test]
fn a_block_with_other_rows_under_its_header() {
    let world = World::new();
    let (mut block, _) = rows_block(&world);
    block.payloads[0][50] ^= 1;
    caught(replayed(&world, block), "block 2 of INST-01 refused: payload root");
}

#[test]
fn a_block_whose_state_is_invented() {
    let world = World::new();
    let (mut block, _) = rows_block(&world);
    block.header.state_root = riskveil_crypto::Digest32::new([8; 32]);
    caught(replayed(&world, block), "block 2 of INST-01 refused: state root");
}

#[test]
fn a_block_that_hides_what_became_of_a_transaction() {
    let world = World::new();
    let (mut block, _) = rows_block(&world);
    block.header.receipts_root = riskveil_crypto::Digest32::new([8; 32]);
    caught(replayed(&world, block), "block 2 of INST-01 refused: receipts root");
}

#[test]
fn a_block_of_somebody_who_is_no_validator() {
    let world = World::new();
    let (mut block, _) = rows_block(&world);
    block.header.proposer = [6; 32];
    caught(replayed(&world, block), "block 2 of no member refused: proposer");
}

/// The light client's verdict on the newest header under a certificate.
fn certified(change: impl FnOnce(&World, &mut Header) -> Vec<u8>) -> String {
    let world = World::new();
    let mut header = world.chain.tip();
    let certificate = change(&world, &mut header);
    let client = LightClient::new(world.chain.ledger.chain_id(), world.chain.consortium.genesis.clone()).unwrap();
    match client.trust(std::slice::from_ref(&header), &certificate) {
        Ok(trusted) => format!("header {} trusted", trusted.height()),
        Err(refused) => refused.to_string(),
    }
}

fn sign(world: &World, header: &Header, committee: &[Identity], signers: &[usize]) -> Vec<u8> {
    let digest = ledger::header_digest(&header.encode());
    ledger::certificate(&world.chain_id(), header.term, &digest, committee, signers)
}

#[test]
fn control_a_certificate_of_the_second_implementation_is_trusted() {
    let told = certified(|world, header| sign(world, header, &committee(world), &[0, 1]));
    assert_eq!(told, "header 3 trusted");
}

#[test]
fn a_certificate_that_one_of_two_validators_signed() {
    let told = certified(|world, header| sign(world, header, &committee(world), &[0]));
    caught(told, "[LC-5] the certificate does not finalize the header");
}

#[test]
fn a_certificate_of_strangers() {
    let told = certified(|world, header| {
        let strangers = [1, 2].map(|seed| Identity::from_seed([seed; 32]));
        sign(world, header, &strangers, &[0, 1])
    });
    caught(told, "[LC-5] the certificate does not finalize the header");
}

#[test]
fn a_header_altered_under_its_certificate() {
    let told = certified(|world, header| {
        let certificate = sign(world, header, &committee(world), &[0, 1]);
        header.state_root = riskveil_crypto::Digest32::new([8; 32]);
        certificate
    });
    caught(told, "[LC-5] the certificate does not finalize the header");
}

#[test]
fn a_header_of_another_chain() {
    let told = certified(|world, header| {
        header.chain_id = riskveil_crypto::Digest32::new([8; 32]);
        sign(world, header, &committee(world), &[0, 1])
    });
    caught(told, "[LC-2] a header is of another version or chain, or its term is not its height's");
}
