//! What a pass over all networks costs, and those who ask meanwhile.

use std::path::Path;
use std::time::{Duration, Instant};

use nebula_gc_http::Service;
use nebula_gc_http::server::DataDirectory;

use crate::Outcome;
use crate::nodes::{Size, enroll};

/// Passes over what a server has: the first checks every certificate, the second finds nothing to
/// do.
pub(crate) async fn measure(data: &Path, size: Size) -> Outcome<()> {
    let service = DataDirectory::open(data)?.start()?;
    println!("upkeep of {} networks with {} nodes each", size.networks, size.nodes);
    let mut node = size.nodes;
    for what in ["checking every certificate", "with nothing to do"] {
        let pass = async {
            let begun = Instant::now();
            service.upkeep().await?;
            Outcome::Ok(begun.elapsed())
        };
        let (took, (asked, longest)) = beside(pass, &service, &mut node).await?;
        println!(
            "  {what:<28} {:.0} ms; of {asked} enrolments meanwhile the longest took {:.0} ms",
            took.as_secs_f64() * 1e3,
            longest.as_secs_f64() * 1e3,
        );
    }
    tokio::task::spawn_blocking(move || drop(service)).await?;
    Ok(())
}

/// Enrols one node after the other, in the first network, until the other is done. Answers how
/// many, and how long the slowest took.
async fn beside<T>(
    other: impl Future<Output = Outcome<T>>,
    service: &Service,
    node: &mut usize,
) -> Outcome<(T, (usize, Duration))> {
    tokio::pin!(other);
    let (mut asked, mut longest) = (0, Duration::ZERO);
    loop {
        let begun = Instant::now();
        let enrolment = enroll(service, 0, *node);
        tokio::pin!(enrolment);
        tokio::select! {
            biased;
            enrolled = &mut enrolment => enrolled?,
            done = &mut other => {
                let done = done?;
                enrolment.await?;
                *node += 1;
                return Ok((done, (asked + 1, longest.max(begun.elapsed()))));
            }
        }
        *node += 1;
        asked += 1;
        longest = longest.max(begun.elapsed());
    }
}
