//! Nodes, as operators see them, and the join tokens that they come with.

use std::time::Duration;

use hyper::Method;

use super::call::path;
use super::{ArchiveFormat, Client, ClientError, FetchedBundle, List, Request, Tagged};
use crate::wire::{
    Certificate, JoinToken, MoveBody, MovedNode, NewJoinTokenBody, Node, NodeChangeBody, NodeRole,
    NodeState, NodesBatch, NodesBatchBody, ReasonBody, RenameBody, RotatedNode, Unapplied,
};

/// Which nodes a list has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeQuery {
    /// Only nodes in this state. Default: all but released ones.
    pub state: Option<NodeState>,
    /// Only nodes whose name begins with this.
    pub name_prefix: Option<String>,
    /// Only nodes of this user.
    pub user: Option<String>,
    /// Only nodes in this group.
    pub group: Option<String>,
    /// Only nodes with this role.
    pub role: Option<NodeRole>,
    /// Only active nodes that have reported neither this revision of the network nor a later one.
    pub not_applied_revision: Option<i64>,
    /// Only nodes whose current certificates are of the CA with this id.
    pub ca: Option<String>,
}

/// The nodes of a network, by id; with an operator key.
impl Client {
    /// Lists a network's nodes, oldest first: `GET /networks/{network}/nodes`.
    #[must_use]
    pub fn list_nodes(&self, network: &str, which: &NodeQuery) -> List<'_, Node> {
        let state = which.state.map(|state| match state {
            NodeState::Active => "active",
            NodeState::Suspended => "suspended",
            NodeState::Revoked => "revoked",
            NodeState::Released => "released",
        });
        let role = which.role.map(|role| match role {
            NodeRole::Lighthouse => "lighthouse",
            NodeRole::Relay => "relay",
        });
        let revision = which.not_applied_revision.map(|revision| revision.to_string());
        let filters = [
            ("state", state),
            ("namePrefix", which.name_prefix.as_deref()),
            ("user", which.user.as_deref()),
            ("group", which.group.as_deref()),
            ("role", role),
            ("notAppliedRevision", revision.as_deref()),
            ("ca", which.ca.as_deref()),
        ];
        self.list(Request::get(&path(&["networks", network, "nodes"])).filtered(&filters))
    }

    /// Lists the active nodes whose last certificate ends within this time or has ended:
    /// `GET /networks/{network}/expiring`.
    #[must_use]
    pub fn list_expiring_nodes(&self, network: &str, within: Duration) -> List<'_, Node> {
        let request = Request::get(&path(&["networks", network, "expiring"]));
        self.list(request.query("withinSeconds", within.as_secs().to_string()))
    }

    /// Reads a node, in any state: `GET /networks/{network}/nodes/{node}`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn read_node(&self, network: &str, node: &str) -> Result<Tagged<Node>, ClientError> {
        self.read_tagged(&path(&["networks", network, "nodes", node])).await
    }

    /// Changes a node: `PATCH /networks/{network}/nodes/{node}`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn change_node(
        &self,
        network: &str,
        node: &str,
        change: &NodeChangeBody,
        if_match: Option<&str>,
    ) -> Result<Tagged<Node>, ClientError> {
        let request = Request::new(Method::PATCH, &path(&["networks", network, "nodes", node]))
            .json(change)?;
        self.change(request, if_match).await
    }

    /// Releases a node: `DELETE /networks/{network}/nodes/{node}`. Its certificates are blocked, its
    /// addresses go into quarantine, and its device may enrol again.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn release_node(
        &self,
        network: &str,
        node: &str,
        if_match: Option<&str>,
    ) -> Result<(), ClientError> {
        self.delete(&path(&["networks", network, "nodes", node]), if_match).await
    }

    /// Keeps a node out of the network temporarily: `POST /networks/{network}/nodes/{node}/suspend`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn suspend_node(
        &self,
        network: &str,
        node: &str,
        why: &ReasonBody,
        if_match: Option<&str>,
    ) -> Result<Tagged<Node>, ClientError> {
        let request =
            Request::new(Method::POST, &path(&["networks", network, "nodes", node, "suspend"]))
                .json(why)?;
        self.change(request, if_match).await
    }

    /// Keeps a node and its public key out of the network: `POST
    /// /networks/{network}/nodes/{node}/revoke`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn revoke_node(
        &self,
        network: &str,
        node: &str,
        why: &ReasonBody,
        if_match: Option<&str>,
    ) -> Result<Tagged<Node>, ClientError> {
        let request =
            Request::new(Method::POST, &path(&["networks", network, "nodes", node, "revoke"]))
                .json(why)?;
        self.change(request, if_match).await
    }

    /// Readmits a suspended or revoked node: `POST /networks/{network}/nodes/{node}/reinstate`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn reinstate_node(
        &self,
        network: &str,
        node: &str,
        if_match: Option<&str>,
    ) -> Result<Tagged<Node>, ClientError> {
        let request =
            Request::new(Method::POST, &path(&["networks", network, "nodes", node, "reinstate"]));
        self.change(request, if_match).await
    }

    /// Moves a node to another address: `POST /networks/{network}/nodes/{node}/move`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn move_node(
        &self,
        network: &str,
        node: &str,
        to: &MoveBody,
        if_match: Option<&str>,
    ) -> Result<Tagged<MovedNode>, ClientError> {
        let request =
            Request::new(Method::POST, &path(&["networks", network, "nodes", node, "move"]))
                .json(to)?;
        self.change(request, if_match).await
    }

    /// Makes a node's certificates due, so that it renews them: `POST
    /// /networks/{network}/nodes/{node}/renew`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn renew_node(
        &self,
        network: &str,
        node: &str,
        if_match: Option<&str>,
    ) -> Result<Tagged<Node>, ClientError> {
        let request =
            Request::new(Method::POST, &path(&["networks", network, "nodes", node, "renew"]));
        self.change(request, if_match).await
    }

    /// Does the same to all nodes that a filter finds: `POST /networks/{network}/nodes/batch`. Thousands
    /// of nodes take longer than a minute: see [`Client::with_patience`].
    ///
    /// # Errors
    /// As [`Client::send`]. What is in the way of single nodes is in the answer.
    pub async fn change_nodes(
        &self,
        network: &str,
        what: &NodesBatchBody,
    ) -> Result<NodesBatch, ClientError> {
        let request = Request::new(Method::POST, &path(&["networks", network, "nodes", "batch"]))
            .json(what)?;
        self.send(request.repeatable()).await?.read_as()
    }

    /// Gives a node a new token, which only this answer contains: `POST
    /// /networks/{network}/nodes/{node}/token`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn rotate_node_token(
        &self,
        network: &str,
        node: &str,
        if_match: Option<&str>,
    ) -> Result<Tagged<RotatedNode>, ClientError> {
        let request =
            Request::new(Method::POST, &path(&["networks", network, "nodes", node, "token"]));
        self.change(request, if_match).await
    }

    /// Fetches a node's current bundle: `GET /networks/{network}/nodes/{node}/bundle`. Nothing if it is
    /// still the one with this ETag.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn fetch_node_bundle(
        &self,
        network: &str,
        node: &str,
        format: ArchiveFormat,
        etag: Option<&str>,
    ) -> Result<Option<FetchedBundle>, ClientError> {
        self.fetch_bundle(&path(&["networks", network, "nodes", node, "bundle"]), format, etag)
            .await
    }

    /// Lists every certificate that a node ever got, oldest first: `GET
    /// /networks/{network}/nodes/{node}/certificates`.
    #[must_use]
    pub fn list_node_certificates(&self, network: &str, node: &str) -> List<'_, Certificate> {
        self.list(Request::get(&path(&["networks", network, "nodes", node, "certificates"])))
    }

    /// Reads which nodes have not yet applied a revision, from this cursor on
    /// ([`Page::next`](crate::wire::Page)): `GET /networks/{network}/revisions/{revision}/unapplied`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn list_unapplied_nodes(
        &self,
        network: &str,
        revision: i64,
        cursor: Option<&str>,
    ) -> Result<Unapplied, ClientError> {
        let revision = revision.to_string();
        let path = path(&["networks", network, "revisions", &revision, "unapplied"]);
        self.send(Request::get(&path).filtered(&[("cursor", cursor)])).await?.read_as()
    }

    /// Lists a network's join tokens, including revoked ones: `GET /networks/{network}/join-tokens`.
    #[must_use]
    pub fn list_join_tokens(&self, network: &str) -> List<'_, JoinToken> {
        self.list(Request::get(&path(&["networks", network, "join-tokens"])))
    }

    /// Creates a join token: `POST /networks/{network}/join-tokens`. Only this answer contains its
    /// secret; if the first answer was lost, none does: revoke it then.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn create_join_token(
        &self,
        network: &str,
        new: &NewJoinTokenBody,
    ) -> Result<JoinToken, ClientError> {
        self.create(&path(&["networks", network, "join-tokens"]), new).await
    }

    /// Reads a join token: `GET /networks/{network}/join-tokens/{joinToken}`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn read_join_token(
        &self,
        network: &str,
        token: &str,
    ) -> Result<JoinToken, ClientError> {
        self.read(&path(&["networks", network, "join-tokens", token])).await
    }

    /// Renames a join token: `PATCH /networks/{network}/join-tokens/{joinToken}`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn rename_join_token(
        &self,
        network: &str,
        token: &str,
        to: &RenameBody,
    ) -> Result<JoinToken, ClientError> {
        let place = path(&["networks", network, "join-tokens", token]);
        self.send(Request::new(Method::PATCH, &place).json(to)?).await?.read_as()
    }

    /// Revokes a join token, permanently: `DELETE /networks/{network}/join-tokens/{joinToken}`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn revoke_join_token(&self, network: &str, token: &str) -> Result<(), ClientError> {
        self.delete(&path(&["networks", network, "join-tokens", token]), None).await
    }
}
