//! What a terminal shows while an answer takes long.

use std::future::Future;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Who is answered sooner sees nothing.
const SOON: Duration = Duration::from_secs(1);

/// Waits for an answer, and says on a terminal's standard error for how long.
pub(super) async fn shown<T>(answer: impl Future<Output = T>) -> T {
    if !io::stderr().is_terminal() {
        return answer.await;
    }
    let began = Instant::now();
    let mut answer = std::pin::pin!(answer);
    loop {
        tokio::select! {
            answer = &mut answer => {
                if began.elapsed() >= SOON {
                    write("");
                }
                return answer;
            }
            () = tokio::time::sleep(SOON) => write(&waiting(began.elapsed())),
        }
    }
}

fn waiting(time: Duration) -> String {
    format!(
        "The server is at it: {} s. Ctrl-C is safe: asking again finishes what was begun.",
        time.as_secs()
    )
}

/// In place of what the line held. A terminal that is gone is no reason not to go on.
fn write(line: &str) {
    let mut err = io::stderr().lock();
    let _ = write!(err, "\r\x1b[K{line}").and_then(|()| err.flush());
}
