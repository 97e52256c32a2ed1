//! Encrypted CA keys.

use crate::failure::Failure;
use crate::flags::Values;

/// The Argon2 parameters that the flags ask for.
pub(crate) fn parameters(flags: &Values) -> Result<(u32, u32, u8), Failure> {
    let most = u32::MAX;
    let memory = positive(flags, "argon-memory", format!("{most} KiB"))?;
    let parallelism = positive(flags, "argon-parallelism", u8::MAX.to_string())?;
    let iterations = positive(flags, "argon-iterations", most.to_string())?;
    Ok((memory, iterations, parallelism))
}

/// The number that a flag gives, if it is in the range of its type and not zero.
fn positive<N: TryFrom<u64>>(flags: &Values, name: &str, most: String) -> Result<N, Failure> {
    let number = Some(flags.number(name)).filter(|number| *number > 0);
    number.and_then(|number| number.try_into().ok()).ok_or_else(|| {
        Failure::usage(format!("-{name} must be be greater than 0 and no more than {most}"))
    })
}
