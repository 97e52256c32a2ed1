//! Enums that are stored as words, in the database and elsewhere.

/// An enum that is stored as a word. The words are the same in the table's own CHECK.
macro_rules! stored_words {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $vis enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// The stored word.
            #[must_use]
            $vis fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            #[allow(dead_code, reason = "some words are only ever written")]
            pub(crate) fn from_word(word: &str) -> Result<Self, crate::Error> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(crate::error::Unavailable::UnknownWord {
                        kind: stringify!($name),
                        word: word.to_owned(),
                    }
                    .into()),
                }
            }
        }
    };
}
pub(crate) use stored_words;
