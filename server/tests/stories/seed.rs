//! Random numbers that a failed story can be run with again.

use m3rs_core::rng::Random;

/// The variable that sets the seed.
const SEED_VARIABLE: &str = "M3RS_STORY_SEED";

/// Numbers from the seed that the environment gives, or else from one of the machine's; says which.
pub(crate) fn random(story: &str) -> Random {
    let seed = match std::env::var(SEED_VARIABLE) {
        Ok(text) => text.parse().expect("a number in M3RS_STORY_SEED"),
        Err(_) => Random::from_machine().next_u64(),
    };
    println!("{story}: {SEED_VARIABLE}={seed}");
    Random::seeded(seed)
}
