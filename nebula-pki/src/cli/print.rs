//! `print`: what certificates say.

use nebula_pki::{Certificate, Error};

use crate::failure::{Failure, Failures};
use crate::flags::Values;
use crate::{certificates, clock, files, qr};

pub(crate) fn run(flags: &Values) -> Result<(), Failures> {
    let path = flags.required("path")?;
    let out_qr = flags.raw("out-qr");
    files::claim_apart(&[("out-qr", out_qr)], &[("path", path)])?;
    let input = files::read(path).map_err(|error| error.failure("unable to read cert; "))?;

    let zone = clock::zone();
    // What `-out-qr -` writes is all that standard output gets.
    let quiet = files::is_standard(out_qr);
    let mut objects = Vec::new();
    let mut pem = String::new();
    let mut rest = input.as_slice();
    loop {
        let (certificate, next) = certificates::next(rest, "error while unmarshaling cert: ")?;
        rest = next;
        if flags.switch("json-legacy") {
            let object = certificate.to_legacy_json(&zone);
            let object = object.map_err(|error| {
                Failure::library("error while printing cert: ", &error, certificate.version())
            })?;
            if !quiet {
                print(&format!("{object}\n"))?;
            }
        } else if flags.switch("json") {
            objects.push(certificate.to_json(&zone));
        } else if !quiet {
            print(&format!("{}\n", text(&certificate, &zone)))?;
        }
        pem.push_str(&certificate.to_pem());
        if certificates::is_blank(rest) {
            break;
        }
    }
    if flags.switch("json") && !flags.switch("json-legacy") && !quiet {
        // The reference shows nothing of any when one cannot be shown.
        let objects: Result<Vec<_>, _> = objects.into_iter().collect();
        print(&objects.map_or("\n".to_owned(), |objects| format!("[{}]\n", objects.join(","))))?;
    }
    qr::write(out_qr, &pem)?;
    Ok(())
}

/// A certificate as the reference shows it and quotes it in errors.
pub(crate) fn text(certificate: &Certificate, zone: impl Fn(i64) -> i32) -> String {
    certificate.to_text(zone).unwrap_or_else(|_: Error| {
        "<error marshalling certificate: json: error calling MarshalJSON for type time.Time: \
         Time.MarshalJSON: year outside of range [0,9999]>"
            .to_owned()
    })
}

fn print(text: &str) -> Result<(), Failure> {
    files::print(text.as_bytes()).map_err(|error| error.failure("unable to print cert: "))
}
