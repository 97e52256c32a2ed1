//! Control planes on either engine, as clients of the dialect, operators and nodes see them.

pub mod dialect;
pub mod fleet;
pub mod native;
mod place;
pub mod requests;
pub mod server;
pub mod shell;

pub use place::{Engine, Place};
pub use server::Server;

/// Makes a test of an async function for each engine: it is given the [`Fixture`] that it asks for.
macro_rules! on_both_engines {
    ($($test:ident)*) => {$(
        mod $test {
            use $crate::support::{Engine, run};

            #[tokio::test]
            async fn on_sqlite() {
                run(Engine::Sqlite, super::$test).await;
            }

            #[tokio::test]
            async fn on_postgresql() {
                run(Engine::Postgres, super::$test).await;
            }
        }
    )*};
    // And with two instances over one PostgreSQL, where what one changes the other's nodes learn.
    ($($test:ident)* ; with_two_instances: $two:ident) => {
        on_both_engines! { $($test)* }
        mod with_two_instances {
            use $crate::support::{Engine, run};
            $(
                #[tokio::test]
                async fn $test() {
                    run(Engine::Postgres, |plane| super::$test(super::$two(plane))).await;
                }
            )*
        }
    };
}

/// What tests are given on an engine.
pub trait Fixture: Sized {
    /// An empty one; nothing where the engine, or what else it needs, is missing.
    async fn on(engine: Engine) -> Option<Self>;
}

pub async fn run<F: Fixture>(engine: Engine, test: impl AsyncFnOnce(F)) {
    if let Some(fixture) = F::on(engine).await {
        test(fixture).await;
    }
}
