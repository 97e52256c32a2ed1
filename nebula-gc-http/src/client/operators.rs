//! Tenants, operator keys, the audit log, and the servers that nodes are told.

use hyper::Method;

use super::call::{matching, path};
use super::{Client, ClientError, List, Request, Tagged};
use crate::wire::{
    DeletedTenant, EndUserBody, EndedUser, Event, EventOrder, NewOperatorKeyBody, OperatorKey,
    RenameBody, Servers, ServersBody, Tenant, TenantBody, TenantPatchBody,
};

/// Which events a list has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Only events of this kind, such as `node.enrolled`.
    pub kind: Option<String>,
    /// Only events about the resource with this id.
    pub subject: Option<String>,
    /// In which order.
    pub order: EventOrder,
}

impl EventQuery {
    fn request(&self, path: &str) -> Request {
        let order = match self.order {
            EventOrder::OldestFirst => "oldest_first",
            EventOrder::NewestFirst => "newest_first",
        };
        let (kind, subject) = (self.kind.as_deref(), self.subject.as_deref());
        let filters = [("kind", kind), ("subject", subject), ("order", Some(order))];
        Request::get(path).filtered(&filters)
    }
}

/// The store as a whole; with an operator key.
impl Client {
    /// Lists the tenants that the credential sees: `GET /tenants`.
    #[must_use]
    pub fn list_tenants(&self) -> List<'_, Tenant> {
        self.list(Request::get(&path(&["tenants"])))
    }

    /// Creates a tenant: `POST /tenants`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn create_tenant(&self, new: &TenantBody) -> Result<Tenant, ClientError> {
        self.create(&path(&["tenants"]), new).await
    }

    /// Reads a tenant: `GET /tenants/{tenant}`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn read_tenant(&self, tenant: &str) -> Result<Tagged<Tenant>, ClientError> {
        self.read_tagged(&path(&["tenants", tenant])).await
    }

    /// Renames a tenant: `PATCH /tenants/{tenant}`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn rename_tenant(
        &self,
        tenant: &str,
        change: &TenantPatchBody,
        if_match: Option<&str>,
    ) -> Result<Tagged<Tenant>, ClientError> {
        let request = Request::new(Method::PATCH, &path(&["tenants", tenant])).json(change)?;
        self.change(request, if_match).await
    }

    /// Deletes a tenant that has no networks, with its operator keys: `DELETE /tenants/{tenant}`. `dry_run` only
    /// tells what would happen.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn delete_tenant(
        &self,
        tenant: &str,
        dry_run: bool,
        if_match: Option<&str>,
    ) -> Result<DeletedTenant, ClientError> {
        let request = Request::delete(&path(&["tenants", tenant]))
            .filtered(&[("dryRun", dry_run.then_some("true"))]);
        self.send(matching(request, if_match)?).await?.read_as()
    }

    /// Lists the operator keys whose scope lies within the credential's, including revoked ones: `GET
    /// /operator-keys`.
    #[must_use]
    pub fn list_operator_keys(&self) -> List<'_, OperatorKey> {
        self.list(Request::get(&path(&["operator-keys"])))
    }

    /// Creates an operator key: `POST /operator-keys`. Only this answer contains its secret; if the
    /// first answer was lost, none does: revoke it then.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn create_operator_key(
        &self,
        new: &NewOperatorKeyBody,
    ) -> Result<OperatorKey, ClientError> {
        self.create(&path(&["operator-keys"]), new).await
    }

    /// Reads an operator key: `GET /operator-keys/{operatorKey}`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn read_operator_key(&self, key: &str) -> Result<OperatorKey, ClientError> {
        self.read(&path(&["operator-keys", key])).await
    }

    /// Renames an operator key: `PATCH /operator-keys/{operatorKey}`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn rename_operator_key(
        &self,
        key: &str,
        to: &RenameBody,
    ) -> Result<OperatorKey, ClientError> {
        let place = path(&["operator-keys", key]);
        self.send(Request::new(Method::PATCH, &place).json(to)?).await?.read_as()
    }

    /// Revokes an operator key, permanently: `DELETE /operator-keys/{operatorKey}`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn revoke_operator_key(&self, key: &str) -> Result<(), ClientError> {
        self.delete(&path(&["operator-keys", key]), None).await
    }

    /// Ends all that a user has: `POST /users/{user}/end`. Repeating it changes nothing.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn end_user(&self, user: &str, end: &EndUserBody) -> Result<EndedUser, ClientError> {
        let request = Request::new(Method::POST, &path(&["users", user, "end"])).json(end)?;
        self.send(request.repeatable()).await?.read_as()
    }

    /// Lists the events of everything that the credential sees: `GET /events`.
    #[must_use]
    pub fn list_events(&self, which: &EventQuery) -> List<'_, Event> {
        self.list(which.request("/events"))
    }

    /// Lists the events of a network: `GET /networks/{network}/events`.
    #[must_use]
    pub fn list_network_events(&self, network: &str, which: &EventQuery) -> List<'_, Event> {
        self.list(which.request(&path(&["networks", network, "events"])))
    }

    /// Reads the servers that nodes are told: `GET /servers`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn read_servers(&self) -> Result<Tagged<Servers>, ClientError> {
        self.read_tagged(&path(&["servers"])).await
    }

    /// Tells nodes which servers there are: `PUT /servers`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn set_servers(
        &self,
        servers: &ServersBody,
        if_match: Option<&str>,
    ) -> Result<Tagged<Servers>, ClientError> {
        let request = Request::new(Method::PUT, "/servers").json(servers)?;
        self.change(request, if_match).await
    }
}
