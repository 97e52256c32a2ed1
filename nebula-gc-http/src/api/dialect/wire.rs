//! The dialect's JSON, in and out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use nebula_bundle::{Endpoint, Endpoints};
use nebula_pki::Version;
use serde::{Deserialize, Deserializer, Serialize};

use super::extract::{Parse, json};
use super::problem::Problem;
use crate::api::public_key;
use crate::error::{Fault, Field};
use crate::service::{AddPool, Change, DeviceEnrollment};
use crate::wire::Count;
use crate::{DeviceId, Groups, NetworkRef, NodeName};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RegisterBody {
    #[serde(default, deserialize_with = "not_null")]
    project_id: Option<String>,
    device_id: String,
    device_name: String,
    public_key: String,
    #[serde(default, deserialize_with = "not_null")]
    groups: Option<Vec<String>>,
    /// Left out, `null` and given are three things.
    #[serde(default, deserialize_with = "given")]
    lighthouse: Option<Option<LighthouseBody>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LighthouseBody {
    endpoint: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PoolBody {
    #[serde(default, deserialize_with = "not_null")]
    project_id: Option<String>,
    cidr: String,
    #[serde(default, deserialize_with = "not_null")]
    certificate_version: Option<u64>,
}

impl Parse for DeviceEnrollment {
    fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let body: RegisterBody = json(bytes)?;
        let endpoint = |lighthouse: LighthouseBody| {
            let parsed: Result<Endpoint, nebula_bundle::Error> = lighthouse.endpoint.parse();
            parsed
                .map(Endpoints::from)
                .map_err(|error| Fault::from(error).of(Field::LighthouseEndpoint))
        };
        Ok(Self {
            network: body.project_id.map(NetworkRef::new).transpose()?,
            device: DeviceId::new(body.device_id)?,
            name: NodeName::new(body.device_name)?,
            public_key: public_key::read(&body.public_key)?,
            groups: match body.groups {
                None => Change::Keep,
                Some(groups) => Change::Set(Groups::new(groups)?),
            },
            lighthouse: match body.lighthouse {
                None => Change::Keep,
                Some(lighthouse) => Change::Set(lighthouse.map(endpoint).transpose()?),
            },
        })
    }
}

impl Parse for AddPool {
    fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let body: PoolBody = json(bytes)?;
        let prefix: IpNet = body.cidr.parse().map_err(|_| {
            Problem::invalid("cidr", "must be a prefix such as 10.99.1.0/24 or fd00:99::/64")
        })?;
        if prefix.trunc() != prefix {
            return Err(Fault::HostBits { prefix: prefix.trunc() }.of(Field::Prefixes).into());
        }
        Ok(Self {
            network: body.project_id.map(NetworkRef::new).transpose()?,
            prefix,
            version: match body.certificate_version {
                None => None,
                Some(1) => Some(Version::V1),
                Some(2) => Some(Version::V2),
                Some(_) => {
                    return Err(Problem::invalid("certificateVersion", "must be 1 or 2"));
                }
            },
        })
    }
}

fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[derive(Serialize)]
pub(super) struct Success<T> {
    success: bool,
    data: T,
    /// What an operator should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<String>,
}

impl<T> Success<T> {
    pub(super) fn new(data: T) -> Self {
        Self { success: true, data, notice: None }
    }

    pub(super) fn with_notice(self, notice: Option<String>) -> Self {
        Self { notice, ..self }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RegisterData {
    pub(super) nebula_ip: String,
    pub(super) nebula_ips: Vec<String>,
    pub(super) network: String,
    pub(super) device_name: String,
    pub(super) project_id: String,
    pub(super) device_id: String,
    pub(super) fingerprint: String,
    pub(super) zip_bundle: String,
    pub(super) zip_size: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    pub(super) success: bool,
    pub(super) device_id: String,
    pub(super) nebula_ip: Option<String>,
    pub(super) allocated: bool,
}

#[derive(Serialize)]
pub(super) struct Released {
    pub(super) success: bool,
    pub(super) message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PoolData {
    pub(super) project_id: String,
    pub(super) cidr: String,
    /// A number, or a string of digits above 2⁵³.
    pub(super) capacity: Count,
}
