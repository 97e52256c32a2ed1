//! What the control plane keeps: one file per table. Statements are written for both engines of
//! [`nebula_alloc::store`] and run inside a transaction that the service opened.

pub(crate) mod blocklist;
pub(crate) mod ca;
pub(crate) mod certificate;
pub(crate) mod database;
pub(crate) mod duty;
pub(crate) mod event;
pub(crate) mod former_key;
pub(crate) mod history;
pub(crate) mod idempotency;
pub(crate) mod join_token;
pub(crate) mod lent;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod operator_key;
pub(crate) mod pending;
mod schema;
pub(crate) mod secret_check;
pub(crate) mod tenant;

pub use schema::COMPONENT;

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

pub(crate) fn version(number: i64) -> Result<nebula_pki::Version, crate::Error> {
    match number {
        1 => Ok(nebula_pki::Version::V1),
        2 => Ok(nebula_pki::Version::V2),
        _ => Err(damaged("certificate version")),
    }
}

/// A prefix is stored as the text an operator would write.
fn prefix(text: Option<&str>) -> Result<Option<ipnet::IpNet>, crate::Error> {
    text.map(|text| text.parse().map_err(|_| damaged("prefix"))).transpose()
}

/// Of what can't be written as JSON.
pub(crate) fn unwritable(error: serde_json::Error) -> crate::Error {
    crate::error::Unavailable::system("writing JSON", error).into()
}

pub(crate) fn damaged(what: &'static str) -> crate::Error {
    crate::error::Unavailable::Unreadable { what }.into()
}
