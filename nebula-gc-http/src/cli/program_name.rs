//! How this program is called, which is one of two.

/// Its name.
pub(crate) const NAME: &str = env!("CARGO_BIN_NAME");
/// The commands that both programs have, as texts of the library name them.
const SHARED: [&str; 5] = [
    "nebula-gc join",
    "nebula-gc agent",
    "nebula-gc update",
    "nebula-gc status",
    "nebula-gc leave",
];

/// A text that names commands of `nebula-gc`, with those of this program in their place.
pub(crate) fn own_commands(text: &str) -> String {
    SHARED.iter().fold(text.to_owned(), |text, shared| {
        text.replace(shared, &shared.replacen("nebula-gc", NAME, 1))
    })
}
