//! Enums of errors whose variants have one text, which is their documentation and their message.

/// Takes each variant's message, with its arguments, in brackets before it, as `thiserror` would.
macro_rules! messages {
    ($(
        $(#[$meta:meta])*
        enum $type:ident {$(
            [$text:literal $($argument:tt)*]
            $name:ident
            $({ $($(#[$doc:meta])* $field:ident: $of:ty),* })?
            $(($inner:ty))?,
        )*}
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "a message says what its fields are")]
        pub enum $type {$(
            // As code: a message may hold what rustdoc takes for a link.
            #[doc = concat!("`` ", $text, " ``")]
            #[error($text $($argument)*)]
            $name $({ $($(#[$doc])* $field: $of),* })? $(($inner))?,
        )*}
    )*};
}
pub(crate) use messages;
