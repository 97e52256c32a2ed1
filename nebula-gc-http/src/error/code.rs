//! The stable codes of refusals, with the status and title that the API gives them.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $status:literal, $title:literal;)*) => {
        /// What is wrong, for programs. A client has to expect codes that it does not know.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// As it is written in answers.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The status of an HTTP answer.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// What it means, in a few words.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// A field is missing, unknown or unusable.
    InvalidRequest = "invalid_request", 400, "The request is not usable";
    /// The public key can't be used.
    InvalidPublicKey = "invalid_public_key", 400, "The public key is not usable";
    /// No credential, or one that nobody has.
    Unauthorized = "unauthorized", 401, "A credential is needed";
    /// The credential does not permit this.
    Forbidden = "forbidden", 403, "The credential does not permit this";
    /// The node is suspended until an operator reinstates it.
    NodeSuspended = "node_suspended", 403, "The node is suspended";
    /// The node is revoked until an operator reinstates it.
    NodeRevoked = "node_revoked", 403, "The node is revoked";
    /// The join token lets nobody join any more, or not this node.
    JoinTokenRefused = "join_token_refused", 403, "The join token does not permit this";
    /// An operator has refused the device.
    JoinRefused = "join_refused", 403, "An operator has refused this device";
    /// It is not there, or not for this credential to see.
    NotFound = "not_found", 404, "Not found";
    /// The route does not take this method.
    MethodNotAllowed = "method_not_allowed", 405, "The route does not take this method";
    /// Somebody else has it, or it contradicts what is there.
    Conflict = "conflict", 409, "In conflict with what is there";
    /// The device is known with another public key, or the key with another node token.
    KeyMismatch = "key_mismatch", 409, "Known with another key";
    /// The node token is that of a node that was released; a new node needs a new one.
    NodeReleased = "node_released", 409, "The node is released";
    /// The network has no free address left.
    PoolExhausted = "pool_exhausted", 409, "No address is free";
    /// Leases are in the way; `leases` has their addresses.
    LeasesStand = "leases_stand", 409, "Leases stand in the way";
    /// The address stays in quarantine; `until` says for how long, `certificates` because of which.
    QuarantineStands = "quarantine_stands", 409, "The quarantine can't end yet";
    /// The network's CA has ended, and nothing can be issued until an operator adds another.
    CaExpired = "ca_expired", 409, "The network's CA has expired";
    /// The network's CA has not begun, and nothing can be issued yet.
    CaNotYetValid = "ca_not_yet_valid", 409, "The network's CA is not valid yet";
    /// Nodes have certificates of the CA; `nodes` has their names.
    CaNeeded = "ca_needed", 409, "Nodes need the CA";
    /// Nodes are active in the network that is to be deleted; `nodes` has their names.
    NodesActive = "nodes_active", 409, "Nodes are active";
    /// The network that the credential was of is deleted, and with it what the credential was for.
    NetworkDeleted = "network_deleted", 410, "The network is deleted";
    /// The resource is not what `If-Match` expects.
    PreconditionFailed = "precondition_failed", 412, "Changed meanwhile";
    /// The body is too large.
    TooLarge = "too_large", 413, "The body is too large";
    /// The path with its query is too long.
    UriTooLong = "uri_too_long", 414, "The path is too long";
    /// The head of the request is too large.
    HeadTooLarge = "head_too_large", 431, "The head of the request is too large";
    /// The body is not said to be JSON.
    UnsupportedMediaType = "unsupported_media_type", 415, "The body must be JSON";
    /// The `Idempotency-Key` was used for another request.
    IdempotencyKeyReused =
        "idempotency_key_reused", 422, "The Idempotency-Key was used for another request";
    /// Asked too often; `Retry-After` says when to ask again.
    RateLimited = "rate_limited", 429, "Asked too often";
    /// A defect of the server.
    Internal = "internal", 500, "The server failed";
    /// The server can't do its work now. Asking again is safe.
    Unavailable = "unavailable", 503, "The server can't do this now";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_unique_and_written_the_same_everywhere() {
        let mut words: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
    }

    #[test]
    fn the_api_documents_each_code_with_its_status() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md");
        let page = std::fs::read_to_string(page).unwrap();
        for code in Code::ALL {
            let (row, word) = (format!("| {} | ", code.status()), format!("`{code}`"));
            let is_there = page.lines().any(|line| line.starts_with(&row) && line.contains(&word));
            assert!(is_there, "{code}");
        }
    }
}
