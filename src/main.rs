//! The `tandem` binary: arguments in, a command run, an exit code out.

#![forbid(unsafe_code)]

use std::process::ExitCode;

/// Messages are made in one thread and freed in another: the system's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tandem::cli::main()
}
