//! `cvm serve`: configure, start, announce, run, drain, give up after a bound.

use std::io::IsTerminal;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

use crate::cli::Serve;
use crate::config::{Log, LogFormat, LogLevel};
use crate::data_dir::Layout;
use crate::failure::{Done, Exit, Failure};
use crate::{output, passphrase, serve};

/// Runs the server until it is told to end.
pub(crate) fn run(args: &Serve) -> Done {
    let layout = Layout::new(&args.data.data_dir);
    let loaded = super::config::load(args.config.as_deref(), &layout)?;
    log_to_stderr(&loaded.config.log);
    for note in &loaded.notes {
        tracing::warn!("{note}");
    }
    let passphrase = passphrase::find(args.passphrase_file.as_deref())?;
    let ready_file = args.ready_file.as_deref();
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut end = End::listen()?;
        let running =
            serve::start(&layout, &loaded.config, passphrase.as_ref(), ready_file).await?;
        drop(passphrase);
        tracing::info!(
            devices = running.public_url,
            operators = %running.operator_address(),
            root = running.root_fingerprint,
            "ready"
        );
        end.asked().await;
        tracing::info!("finishing the requests in flight; a second signal ends at once");
        tokio::select! {
            () = running.drain() => {}
            () = end.asked() => {
                return Err(Failure::new(Exit::Failed, "ended at the second signal"));
            }
        }
        tracing::info!("ended");
        Ok(())
    })
}

/// The runtime that servers run on.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, format!("starting threads: {error}")))
}

/// The signals that ask the server to end.
struct End {
    terminate: Signal,
    interrupt: Signal,
}

impl End {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::new(Exit::Failed, format!("signals: {error}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Log lines go to standard error.
fn log_to_stderr(log: &Log) {
    let level = match log.level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
    };
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    // Somebody has set a logger already only in tests of this process.
    let _already_set = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.try_init(),
    };
}

/// Waits until the process is asked to end, for commands that stay up.
pub(crate) async fn until_asked_to_end() -> Done {
    End::listen()?.asked().await;
    output::note("");
    Ok(())
}
