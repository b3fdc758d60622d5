//! `cvm serve`: configure, start, announce, run, drain, give up after a bound.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::Serve;
use crate::data_dir::Layout;
use crate::failure::{Done, Exit, Failure};
use crate::{log, output, passphrase, serve};

/// Runs the server until it is told to end.
pub(crate) fn run(args: &Serve) -> Done {
    let layout = Layout::new(&args.data.data_dir);
    let loaded = super::config::load(args.config.as_deref(), &layout)?;
    #[cfg(feature = "otel")]
    let traces = serve::traces::start(&layout, &loaded.config.trace)?;
    #[cfg(feature = "otel")]
    let (traces, spans) = traces.unzip();
    #[cfg(not(feature = "otel"))]
    let spans = None;
    log::to_stderr(&loaded.config.log, spans);
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
    })?;
    #[cfg(feature = "otel")]
    if let Some(traces) = traces {
        traces.end();
    }
    Ok(())
}

/// The runtime that servers run on.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, format!("starting threads: {error}")))
}

/// The signals that ask the server to end.
pub(crate) struct End {
    terminate: Signal,
    interrupt: Signal,
}

impl End {
    /// Listens from now on.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::new(Exit::Failed, format!("signals: {error}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Returns at the next one.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits until the process is asked to end, for commands that stay up.
pub(crate) async fn until_asked_to_end() -> Done {
    End::listen()?.asked().await;
    output::note("");
    Ok(())
}
