//! Nobody lies: the second implementation is taken for the first, so what the crimes meet is not a broken encoder.

use riskveil_chain::receipt::ReceiptCode;
use riskveil_tests::second::rows::row;

use crate::logs::Trial;
use crate::requests::Served;
use crate::world::{LABEL, PUBLISHER, World};

#[test]
fn control_an_honest_publisher_of_the_second_implementation_is_a_hit() {
    let mut world = World::new();
    let asked = world.ask();
    let k = world.k;
    let answer = world.answer(&asked, &k);
    assert_eq!(world.told(&asked, &answer.bytes()), "INST-01 hit(1)");
}

#[test]
fn control_a_publisher_without_the_person_is_clear() {
    let mut world = World::publishing(|_, _, _| Vec::new());
    let asked = world.ask();
    let k = world.k;
    let answer = world.answer(&asked, &k);
    assert_eq!(world.told(&asked, &answer.bytes()), "INST-01 clear");
}

#[test]
fn control_several_slots_and_deltas_are_found() {
    let mut world = World::publishing(|place, out, rng| {
        (0..3).map(|number| row(place, out, number, &LABEL.bytes(), rng)).collect()
    });
    assert_eq!(world.publish(&[]), ReceiptCode::Applied);
    let asked = world.ask();
    let k = world.k;
    let answer = world.answer(&asked, &k);
    assert_eq!(world.told(&asked, &answer.bytes()), "INST-01 hit(3)");
}

#[test]
fn control_an_honest_lender_of_the_second_implementation_is_evaluated() {
    let mut served = Served::new();
    let request = served.request(|_| {});
    assert_eq!(served.asks(&request), "LENDER-01 evaluated");
}

#[test]
fn control_honest_logs_of_the_second_implementation_name_nobody() {
    let mut trial = Trial::new();
    assert_eq!(trial.findings(), "nobody");
    assert_eq!(trial.world.chain.tip().height, trial.world.chain.height());
    assert_eq!(PUBLISHER, "INST-01");
}
