//! A sample backend in a process of its own. It ends when its standard input does, and so never outlives the demo.

use crate::cli::runtime;
use anyhow::Context;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

/// The variable in which a backend finds what `X-Gateway-Auth` must be.
pub const SECRET: &str = "TOOL_GATEWAY_SHARED_SECRET";

/// Which backend to be.
#[derive(clap::Args)]
pub struct Options {
    /// Which.
    name: Name,
    /// Its port.
    #[arg(long)]
    port: u16,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Name {
    Calculator,
    Ops,
}

/// Serves until standard input ends.
///
/// # Errors
/// The port is taken.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let gateway_secret = std::env::var(SECRET).ok();
    runtime(1)?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await;
        let listener = listener.with_context(|| format!("port {} is taken", options.port))?;
        let serving = async {
            match options.name {
                Name::Calculator => {
                    portcullis_calculator::serve(listener, portcullis_calculator::Options { gateway_secret }).await
                }
                Name::Ops => portcullis_ops::serve(listener, portcullis_ops::Options { gateway_secret }).await,
            }
        };
        tokio::select! {
            served = serving => served?,
            () = input_ended() => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn input_ended() {
    let (mut input, mut buffer) = (tokio::io::stdin(), [0; 64]);
    while matches!(input.read(&mut buffer).await, Ok(read) if read > 0) {}
}
