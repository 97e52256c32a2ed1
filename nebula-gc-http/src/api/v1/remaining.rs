//! What remains after a change: the headers that tell which revision the network has now, and how many
//! nodes have not applied it.

use axum::http::HeaderValue;
use axum::response::IntoResponse;

use super::respond::Answer;
use crate::{Context, NetworkRef, Remaining, Service};

/// The network's revision.
pub(super) const REVISION: &str = "nebula-revision";
/// How many active nodes report and have not reported that revision.
pub(super) const UNAPPLIED: &str = "nebula-unapplied";

/// The operations whose answers have these headers, for the API's document.
pub(super) const OPERATIONS: [&str; 14] = [
    "change_node",
    "release_node",
    "suspend_node",
    "revoke_node",
    "reinstate_node",
    "rotate_node_token",
    "renew_node",
    "move_node",
    "change_nodes",
    "change_network",
    "renew_certificates",
    "add_ca",
    "retire_ca",
    "add_to_blocklist",
];

/// A change of this network, by whom it was asked for.
pub(super) struct Changing<'a> {
    service: &'a Service,
    context: Context,
    network: NetworkRef,
}

impl<'a> Changing<'a> {
    pub(super) fn new(service: &'a Service, context: &Context, network: &NetworkRef) -> Self {
        Self { service, context: context.clone(), network: network.clone() }
    }

    /// The answer of a change that was done, with the headers. The change is committed: where how far it
    /// has come can't be read, the answer goes without them.
    pub(super) async fn answer(self, answer: Answer<impl IntoResponse>) -> Answer {
        let mut response = answer?.into_response();
        if let Ok(Remaining { revision, unapplied }) =
            self.service.remaining(self.context, self.network).await
        {
            for (name, number) in [(REVISION, revision), (UNAPPLIED, unapplied)] {
                response.headers_mut().insert(name, HeaderValue::from(number));
            }
        }
        Ok(response)
    }
}
