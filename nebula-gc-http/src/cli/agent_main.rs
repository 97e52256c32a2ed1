//! The program `nebula-gc-agent`: of `nebula-gc` the commands for a machine's nodes alone. It is small,
//! because it brings no server and no database.

mod agent;
mod clock;
mod join;
mod leave;
mod machine;
mod node_commands;
mod plain_http;
mod program;
mod program_name;
mod status;
mod terminal;
mod times;
mod update;

use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// Wipes all memory when it is freed: keys and tokens pass through buffers of libraries that do not wipe
/// them.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    let command = program::command()
        .about("Keeps the Nebula networks of this machine")
        .subcommands(node_commands::all());
    program::run(|| command.try_get_matches(), node_commands::run)
}
