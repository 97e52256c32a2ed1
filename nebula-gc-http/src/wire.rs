//! The JSON types of the native API, which the server and the client share: what the OpenAPI document
//! calls them, they are called here.
//!
//! In answers, fields that are not known are ignored: the server may be newer. In requests the server
//! refuses them. Times are seconds since the Unix epoch ([`Timestamp`]); ids are texts as the server
//! writes them; states and kinds are words, of which newer servers may know more.

mod enroll;
mod node;
mod values;

pub use self::enroll::{Bundle, Enrolled, EnrollmentBody, Lighthouse};
pub use self::node::{Desired, NodeToken, OwnCertificate, OwnNode, Renewal, Renewed, Report};
pub use self::values::{Secret, Timestamp};
