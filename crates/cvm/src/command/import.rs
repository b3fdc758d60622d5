//! `cvm device import`: reading, sending and labelling each on a thread of its own, a few blocks
//! apart.
//!
//! A kill at any moment loses no token, because a block's tokens are on disk before its first row is
//! sent, and the same command again takes them from there.

mod block;
mod columns;
mod deliver;
mod feed;
mod labels;
mod progress;
mod stream;
mod table;
mod tally;
mod tokens;
mod unfit;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::mpsc as blocking;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

use self::block::Block;
use self::deliver::Delivery;
use self::feed::{Feed, Source};
use self::labels::Labels;
use self::tally::Tally;
use self::tokens::Tokens;
use crate::cli::{Import, Output};
use crate::failure::{Done, Exit, Failure};
use crate::output;

/// So many blocks may be ready while one is sent.
const BLOCKS_AHEAD: usize = 1;
const LABELS_AHEAD: usize = 1024;

/// A file that can be read on another thread.
type Input = Box<dyn Read + Send>;

/// Registers the devices of a file.
pub(crate) fn run(args: &Import) -> Done {
    let (source, size, name) = open(&args.file)?;
    let mut feed = Feed::begin(source, &name)?;
    if args.check {
        feed.tokens_from(Source::NotNeeded);
        let mut tally = Tally::new(size, args.refused_out.as_deref())?;
        let read = check(&mut feed, &name, &mut tally);
        tally.close()?;
        return read.and_then(|()| checked(&tally, args.server.output.output));
    }
    if args.tokens_out.is_none() && !feed.has_tokens() {
        let what =
            format!("{name} has no column token, and there is no place for tokens made here");
        let cure = "give --tokens-out FILE: it is written before anything is sent, and has the \
                    token of every device that is registered";
        return Err(Failure::new(Exit::Usage, what).cure(cure));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let retry_for = Duration::from_secs(u64::try_from(args.retry_for.0).unwrap_or_default());
    // A server that does not want us is told before anything is written.
    let delivery = runtime.block_on(Delivery::open(&args.server, retry_for))?;
    if let Some(path) = &args.tokens_out {
        let (tokens, mended) = Tokens::open(path)?;
        if let Some(mended) = mended {
            output::note(mended);
        }
        feed.tokens_from(Source::File(Box::new(tokens)));
    }
    let labels = args.qr_out.as_deref().map(Labels::open).transpose()?;
    let mut tally = Tally::new(size, args.refused_out.as_deref())?;
    let work = Work { feed, name, labels, runtime: &runtime, delivery };
    let (tokens, worked) = work.run(&mut tally);
    let unfit = tally.take_unfit();
    let forgotten = match tokens {
        Some(mut tokens) => unfit::forget(&unfit, &mut tokens, &args.server),
        None => Ok(()),
    };
    let closed = tally.close();
    finish(args, &tally, worked.and(forgotten).and(closed))
}

/// Everything that an import runs on.
struct Work<'a> {
    feed: Feed<Input>,
    name: String,
    labels: Option<Labels>,
    runtime: &'a tokio::runtime::Runtime,
    delivery: Delivery<'a>,
}

impl Work<'_> {
    /// Runs to the end of the file, or to the first failure; the tokens file comes back.
    fn run(self, tally: &mut Tally) -> (Option<Tokens>, Done) {
        let Self { mut feed, name, labels, runtime, mut delivery } = self;
        let (ready, blocks) = mpsc::channel(BLOCKS_AHEAD);
        thread::scope(|scope| {
            let reading = scope.spawn(move || {
                let read = read(&mut feed, &name, &ready);
                (feed.into_tokens(), read)
            });
            let labelling = labels.map(|labels| {
                let (accepted, devices) = blocking::sync_channel(LABELS_AHEAD);
                tally.labels_to(accepted);
                scope.spawn(move || labels.work(&devices))
            });
            let sent = runtime.block_on(send(&mut delivery, blocks, tally));
            tally.close_labels();
            // Of two failures the first cause is told: without labels nothing is sent any more.
            let labelled =
                labelling.map_or(Ok(()), |labelling| joined(labelling).and_then(|it| it));
            let (tokens, read) = match joined(reading) {
                Ok(ended) => ended,
                Err(failure) => (None, Err(failure)),
            };
            (tokens, labelled.and(sent).and(read))
        })
    }
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> Result<T, Failure> {
    thread.join().map_err(|_| Failure::new(Exit::Failed, "a thread of the import has ended"))
}

fn read(feed: &mut Feed<Input>, name: &str, ready: &mpsc::Sender<Block>) -> Done {
    while let Some(block) = feed.block(name)? {
        if ready.blocking_send(block).is_err() {
            // Who sends has failed and says so.
            break;
        }
    }
    Ok(())
}

async fn send(
    delivery: &mut Delivery<'_>,
    mut blocks: mpsc::Receiver<Block>,
    tally: &mut Tally,
) -> Done {
    while let Some(mut block) = blocks.recv().await {
        tally.begin(std::mem::take(&mut block.refusals));
        delivery.deliver(&mut block, tally).await?;
        tally.passed(&block)?;
    }
    Ok(())
}

fn check(feed: &mut Feed<Input>, name: &str, tally: &mut Tally) -> Done {
    while let Some(mut block) = feed.block(name)? {
        tally.begin(std::mem::take(&mut block.refusals));
        tally.read(block.rows.len());
        tally.passed(&block)?;
    }
    Ok(())
}

fn checked(tally: &Tally, form: Output) -> Done {
    if form == Output::Json {
        output::result(form, &tally.summary(), |_, _| {})?;
    }
    let (rows, bad) = (tally.rows(), tally.refused());
    if bad > 0 {
        return Err(Failure::new(Exit::Failed, format!("{bad} of {rows} rows are bad"))
            .cure("nothing was sent; correct them, or import the others as the file is"));
    }
    output::note(format!("{rows} rows, none of them bad; nothing was sent"));
    Ok(())
}

fn finish(args: &Import, tally: &Tally, worked: Done) -> Done {
    let printed = output::result(args.server.output.output, &tally.summary(), |summary, text| {
        summary.show(text);
    });
    match worked {
        Err(failure) => {
            let cure = "the same command again goes on from here: what is registered stays as it \
                        is, and no token is lost";
            let cure = match failure.cure.is_empty() {
                true => cure.to_owned(),
                false => format!("{}; then {cure}", failure.cure),
            };
            Err(failure.cure(cure))
        }
        Ok(()) if tally.refused() > 0 => {
            let what =
                format!("{} rows were refused, and nothing of them is kept", tally.refused());
            let cure = "correct them in the file and run the same command again: what is \
                        registered stays as it is";
            Err(Failure::new(Exit::Failed, what).cure(cure))
        }
        Ok(()) => printed,
    }
}

/// The file, its size where that is known, and what people call it.
fn open(path: &Path) -> Result<(Input, Option<u64>, String), Failure> {
    if path == Path::new("-") {
        return Ok((Box::new(std::io::stdin()), None, String::from("standard input")));
    }
    let fault = |error: std::io::Error| Failure::file("reading", path, &error);
    let file = File::open(path).map_err(fault)?;
    let about = file.metadata().map_err(fault)?;
    let size = about.is_file().then_some(about.len());
    Ok((Box::new(file), size, path.display().to_string()))
}
