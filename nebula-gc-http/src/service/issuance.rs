//! Issuing a node's certificates on the terms of its network: signed here, or entered as pending for a
//! signer elsewhere; and entered in the ledger once they are signed.

use std::sync::Arc;

use nebula_alloc::lease::Lease;
use nebula_alloc::store::Transaction;
use nebula_pki::{Validity, VerifiedCertificate, Version};

use super::authority::Authority;
use super::terms::{TRIES, Terms, Waiting};
use crate::error::{Conflict, Unavailable};
use crate::store::certificate::{self, Issued, Reason};
use crate::store::node::{self, Node};
use crate::store::pending;
use crate::{CertificateId, Error};

impl Terms {
    /// Signs a node's certificates ahead of the writing, where the CA's key is here.
    pub(super) fn sign(&self, node: &Node, leases: &[Lease]) -> Result<Option<Ahead>, Error> {
        match self.authority.signer() {
            None => self.sign_here(node, leases, 0).map(|signed| Some(Ahead::Here(signed))),
            Some(_) => Ok(None),
        }
    }

    fn sign_here(
        &self,
        node: &Node,
        leases: &[Lease],
        earlier: i64,
    ) -> Result<Vec<VerifiedCertificate>, Error> {
        let sign = |version: &Version| {
            let host = self.host(*version, node, leases, self.ends(earlier))?;
            self.authority.issuer.issue(*version, &host).map_err(refused)
        };
        self.network.versions.as_slice().iter().map(sign).collect()
    }

    /// Makes certificates that the ledger has never seen, ready to be entered: those that were
    /// `signed` ahead, if they are new. Where the CA's key is elsewhere they are entered as pending
    /// first, and ready when the step runs again with what was signed meanwhile.
    ///
    /// Ed25519 is deterministic: the same contents within one second would be the same certificate,
    /// and a fingerprint that was once blocked stays blocked. So the end moves back, a second at a
    /// time.
    pub(super) fn ready<'a>(
        &self,
        tx: &mut dyn Transaction,
        issue: Issue<'a>,
    ) -> Result<Readiness<'a>, Error> {
        if self.authority.signer().is_some() {
            return self.ready_elsewhere(tx, issue);
        }
        let mut signed = match issue.signed {
            Some(Ahead::Here(ref signed)) => Some(signed.clone()),
            _ => None,
        };
        for earlier in 0..TRIES {
            let verified = match signed.take() {
                Some(signed) => signed,
                None => self.sign_here(issue.node, issue.leases, earlier)?,
            };
            if !any_is_known(tx, &verified)? {
                return Ok(Readiness::Ready(Ready { issue, verified, pending: vec![] }));
            }
        }
        Err(Unavailable::SameCertificate.into())
    }

    /// Enters what is ready in the ledger, in place of what the node had.
    pub(super) fn enter(
        &self,
        tx: &mut dyn Transaction,
        ready: Ready<'_>,
    ) -> Result<Vec<VerifiedCertificate>, Error> {
        let Ready { issue: Issue { node, reason, actor, .. }, verified, pending } = ready;
        if reason != Reason::Enrolled {
            certificate::supersede(tx, node.id)?;
        }
        if node.renew_before.is_some() {
            node::end_due(tx, node.id)?;
        }
        for (index, certificate) in verified.iter().enumerate() {
            if let Some(id) = pending.get(index) {
                pending::complete(tx, *id, certificate.certificate())?;
                continue;
            }
            let issued = Issued {
                network: self.network.id,
                node: node.id,
                issuer: self.authority.id,
                certificate: certificate.certificate().clone(),
                reason,
                actor,
            };
            certificate::insert(tx, &issued, self.now)?;
        }
        Ok(verified)
    }
}

impl Terms {
    /// As [`Terms::ready`], where the CA's key is elsewhere.
    fn ready_elsewhere<'a>(
        &self,
        tx: &mut dyn Transaction,
        issue: Issue<'a>,
    ) -> Result<Readiness<'a>, Error> {
        let rows = pending::of_node(tx, issue.node.id)?;
        let mut known = vec![];
        if self.are_wanted(&rows, &issue)? {
            match signed(&rows, issue.signed.as_ref()) {
                Some(verified) if !any_is_known(tx, &verified)? => {
                    let pending = rows.iter().map(|row| row.id).collect();
                    return Ok(Readiness::Ready(Ready { issue, verified, pending }));
                }
                // The same bytes were signed before: they have to say something else.
                Some(_) => known = rows.iter().map(|row| row.to_be_signed.clone()).collect(),
                None => return self.wait_or_take_over(tx, rows),
            }
        } else if self.has_lost_its_place(&rows, issue.signed.as_ref()) {
            let authority = Arc::clone(&self.authority);
            return Ok(Readiness::Pending(Pending { authority, rows, is_own: false }));
        }
        for row in &rows {
            pending::cancel(tx, row.id)?;
        }
        self.enter_pending(tx, &issue, &known)
    }

    /// Whether a step that runs again finds pending what another command needs, which still has time
    /// for it. The first time it took the place of whatever was pending; if it did so again, two
    /// commands would cancel each other's for ever.
    fn has_lost_its_place(&self, rows: &[pending::Pending], signed: Option<&Ahead>) -> bool {
        let Some(Ahead::Elsewhere(signed)) = signed else { return false };
        let is_own = |row: &pending::Pending| signed.iter().any(|signed| signed.row == row.id);
        rows.iter().any(|row| row.deadline > self.now && !is_own(row))
    }

    /// Whether what is pending is what would be entered now, but for its validity.
    pub(super) fn are_wanted(
        &self,
        rows: &[pending::Pending],
        issue: &Issue<'_>,
    ) -> Result<bool, Error> {
        let versions = self.network.versions.as_slice();
        if rows.len() != versions.len() {
            return Ok(false);
        }
        for (row, version) in rows.iter().zip(versions) {
            if row.version != *version || row.issuer != self.authority.id {
                return Ok(false);
            }
            let (not_before, not_after) = row.validity;
            let host =
                self.host(*version, issue.node, issue.leases, Validity { not_before, not_after })?;
            let prepared = self.authority.issuer.prepare(*version, &host);
            // What the CA does not permit is nothing to wait for.
            if !prepared.is_ok_and(|prepared| prepared.to_be_signed() == row.to_be_signed) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Leaves to another what it has time for.
    fn wait_or_take_over<'a>(
        &self,
        tx: &mut dyn Transaction,
        rows: Vec<pending::Pending>,
    ) -> Result<Readiness<'a>, Error> {
        let is_own = rows.iter().all(|row| row.deadline <= self.now);
        let rows = if is_own {
            let Waiting { instance, deadline } = &self.waiting;
            rows.iter()
                .map(|row| pending::adopt(tx, row, instance, *deadline))
                .collect::<Result<_, _>>()?
        } else {
            rows
        };
        Ok(Readiness::Pending(Pending { authority: Arc::clone(&self.authority), rows, is_own }))
    }

    fn enter_pending<'a>(
        &self,
        tx: &mut dyn Transaction,
        issue: &Issue<'_>,
        known: &[Vec<u8>],
    ) -> Result<Readiness<'a>, Error> {
        for earlier in 0..TRIES {
            let mut rows = vec![];
            let validity = self.ends(earlier);
            for version in self.network.versions.as_slice().iter().copied() {
                let host = self.host(version, issue.node, issue.leases, validity)?;
                let prepared = self.authority.issuer.prepare(version, &host).map_err(refused)?;
                rows.push(pending::Pending {
                    id: CertificateId::new(),
                    network: self.network.id,
                    node: issue.node.id,
                    issuer: self.authority.id,
                    version,
                    validity: (validity.not_before, validity.not_after),
                    to_be_signed: prepared.to_be_signed().to_vec(),
                    reason: issue.reason,
                    instance: self.waiting.instance.clone(),
                    deadline: self.waiting.deadline,
                    created_at: self.now,
                });
            }
            if rows.iter().any(|row| known.contains(&row.to_be_signed)) {
                continue;
            }
            for row in &rows {
                pending::insert(tx, row, issue.actor)?;
            }
            let authority = Arc::clone(&self.authority);
            return Ok(Readiness::Pending(Pending { authority, rows, is_own: true }));
        }
        Err(Unavailable::SameCertificate.into())
    }
}

/// What is to be issued, for whom and why.
#[derive(Clone)]
pub(super) struct Issue<'a> {
    pub(super) node: &'a Node,
    pub(super) leases: &'a [Lease],
    pub(super) reason: Reason,
    /// Who asked for it, as the audit log names it.
    pub(super) actor: &'a str,
    /// The certificates it is most likely to get, where they were signed ahead of the writing.
    pub(super) signed: Option<Ahead>,
}

/// What was signed before the step writes.
#[derive(Clone)]
pub(super) enum Ahead {
    /// By this process, in the same step.
    Here(Vec<VerifiedCertificate>),
    /// By somebody else, between two runs of the step; nothing where it waited for another.
    Elsewhere(Vec<SignedElsewhere>),
}

/// How far certificates are.
pub(super) enum Readiness<'a> {
    /// To be entered, after whatever else the step writes.
    Ready(Ready<'a>),
    /// Entered as pending. The step writes no more of what follows from them, and runs again.
    Pending(Pending),
}

/// Certificates that are signed and not entered.
pub(super) struct Ready<'a> {
    pub(super) issue: Issue<'a>,
    pub(super) verified: Vec<VerifiedCertificate>,
    /// Their rows, where they have some.
    pub(super) pending: Vec<CertificateId>,
}

impl Ready<'_> {
    pub(super) fn fingerprints(&self) -> Vec<String> {
        let fingerprint =
            |signed: &VerifiedCertificate| signed.certificate().fingerprint().to_string();
        self.verified.iter().map(fingerprint).collect()
    }
}

/// What the CA does not permit is no fault of the server's.
pub(super) fn refused(error: nebula_pki::Error) -> Error {
    use nebula_pki::Error as Pki;
    match error {
        Pki::GroupNotPermitted { .. } | Pki::NetworkNotPermitted { .. } => {
            Conflict::NotPermitted(error).into()
        }
        other => Unavailable::Pki(other).into(),
    }
}

pub(super) fn any_is_known(
    tx: &mut dyn Transaction,
    certificates: &[VerifiedCertificate],
) -> Result<bool, Error> {
    for verified in certificates {
        if certificate::is_known(tx, &verified.certificate().fingerprint())? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Certificates of one node that are pending.
pub(super) struct Pending {
    pub(super) authority: Arc<Authority>,
    pub(super) rows: Vec<pending::Pending>,
    /// Whether this very request sees them signed; else another does, and it waits for that.
    pub(super) is_own: bool,
}

/// A certificate that was signed while its row was pending.
#[derive(Clone)]
pub(super) struct SignedElsewhere {
    pub(super) row: CertificateId,
    pub(super) to_be_signed: Vec<u8>,
    pub(super) verified: VerifiedCertificate,
}

/// The certificates of these rows, where they are what was signed.
pub(super) fn signed(
    rows: &[pending::Pending],
    signed: Option<&Ahead>,
) -> Option<Vec<VerifiedCertificate>> {
    let Some(Ahead::Elsewhere(signed)) = signed else { return None };
    let of = |row: &pending::Pending| {
        let is_it = |signed: &&SignedElsewhere| {
            signed.row == row.id && signed.to_be_signed == row.to_be_signed
        };
        signed.iter().find(is_it).map(|signed| signed.verified.clone())
    };
    rows.iter().map(of).collect()
}
