//! Somebody who is no member, or pretends to be another one.

use riskveil_chain::receipt::ReceiptCode;
use riskveil_tests::second::{Identity, ledger};

use crate::world::{LENDER, PUBLISHER, REGULATOR, World, caught};

fn crime(change: impl FnOnce(&World, &mut ledger::Transaction) -> Identity) -> String {
    let mut world = World::new();
    let (payload, body) = window(&mut world);
    let mut transaction = world.transaction(LENDER, body);
    let signer = change(&world, &mut transaction);
    let codes = world.chain.raw_block(vec![transaction.sign(&signer)], payload);
    format!("{} {:?}", transaction.sender, codes[0])
}

/// An empty log window, ready to be applied.
fn window(world: &mut World) -> (Vec<Vec<u8>>, Vec<u8>) {
    world.chain.at(70);
    let leaves: Vec<[u8; 32]> = (1..5).map(|byte| [byte; 32]).collect();
    let payload = riskveil_tests::second::log::payload(&leaves, &[5; 64]);
    let body = ledger::log_windows(8, 0, 0, &payload, &leaves);
    (vec![payload], body)
}

fn stranger() -> Identity {
    Identity::from_seed([0x77; 32])
}

#[test]
fn control_an_honest_transaction_of_the_second_implementation_is_applied() {
    let mut world = World::new();
    let (payload, body) = window(&mut world);
    assert_eq!(world.send(LENDER, body, payload.into_iter().next()), ReceiptCode::Applied);
}

#[test]
fn an_unknown_member_writes_to_the_ledger() {
    let told = crime(|_, transaction| {
        (transaction.sender, transaction.sequence) = ("LENDER-99".into(), 1);
        stranger()
    });
    caught(told, "LENDER-99 SenderUnknown");
}

#[test]
fn an_unknown_key_writes_in_the_name_of_a_member() {
    caught(crime(|_, _| stranger()), "LENDER-01 SignatureInvalid");
}

#[test]
fn a_member_writes_in_the_name_of_another() {
    caught(crime(|world, _| world.identity(PUBLISHER)), "LENDER-01 SignatureInvalid");
}

#[test]
fn a_member_does_what_its_role_does_not_allow() {
    let told = crime(|world, transaction| {
        (transaction.sender, transaction.sequence) = (REGULATOR.into(), 1);
        world.identity(REGULATOR)
    });
    caught(told, "REGULATOR-01 RoleMissing");
}

#[test]
fn a_transaction_of_another_chain() {
    let told = crime(|world, transaction| {
        transaction.chain_id = [3; 32];
        world.identity(LENDER)
    });
    caught(told, "LENDER-01 WrongChain");
}

#[test]
fn a_transaction_replayed() {
    let mut world = World::new();
    let (payload, body) = window(&mut world);
    let signed = world.transaction(LENDER, body).sign(&world.identity(LENDER));
    assert_eq!(world.chain.raw_block(vec![signed.clone()], payload.clone()), [ReceiptCode::Applied]);
    let codes = world.chain.raw_block(vec![signed], payload);
    caught(format!("{LENDER} {:?}", codes[0]), "LENDER-01 SequenceNotNext");
}
