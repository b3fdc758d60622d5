//! `cvm device enroll`: a device's first certificate, on the agent's library.

use cvm_agent::client::Trust;
use cvm_agent::enroll::{EnrollOptions, Enrolled, Outcome, Reporter, enroll};
use cvm_agent::error::Error;
use cvm_agent::keys::KeyAlgorithm;
use cvm_agent::token::Token;
use zeroize::Zeroizing;

use super::remote;
use crate::cli::{self, Enroll, TokenArgs};
use crate::environment::variable;
use crate::failure::{Done, Exit, Failure};
use crate::output::{self, Text};

/// Tells each step on standard error.
pub(super) struct Steps;

impl Reporter for Steps {
    fn step(&self, text: &str) {
        output::note(format!("  {text}"));
    }
}

/// Makes a key, asks for its certificate, writes both.
pub(crate) fn run(args: &Enroll) -> Done {
    let trust = trust(args)?;
    let token = token(&args.token)?.ok_or_else(|| {
        let cure = "give --token-file FILE or --token-stdin, or set $CVM_TOKEN";
        Failure::new(Exit::Usage, "there is no token").cure(cure)
    })?;
    let mut options = EnrollOptions::new(&args.server, trust, &args.serial, token, &args.out);
    options.key = args.key.clone();
    if args.key.is_none() {
        options.key_algorithm = Some(algorithm(args.key_algorithm));
    }
    let enrolled = enroll(&options, &Steps).map_err(failure)?;
    output::result(args.output.output, &enrolled.record, |_, text| tell(&enrolled, text))
}

/// What is for later is only for the same again.
fn failure(error: Error) -> Failure {
    let failure = remote::failure(error);
    match (failure.exit, failure.cure.is_empty()) {
        (Exit::Later, true) => failure
            .cure("run the same command again: it goes on with the same key, and nothing is lost"),
        _ => failure,
    }
}

fn trust(args: &Enroll) -> Result<Trust, Failure> {
    match (&args.fingerprint, &args.root_ca) {
        (Some(text), _) => match text.parse() {
            Ok(fingerprint) => Ok(Trust::Fingerprint(fingerprint)),
            Err(error) => Err(Failure::new(Exit::Usage, format!("--fingerprint: {error}"))),
        },
        (None, Some(path)) => Ok(Trust::RootFile(path.clone())),
        (None, None) => {
            let what = "there is nothing to verify the server against, so no connection was made";
            Err(Failure::new(Exit::NotPinned, what)
                .cure("give --fingerprint HEX or --root-ca FILE"))
        }
    }
}

/// The device's token, if it is anywhere.
pub(super) fn token(args: &TokenArgs) -> Result<Option<Token>, Failure> {
    let read = match (&args.token_file, args.token_stdin, &args.token) {
        (Some(path), _, _) => Token::from_file(path),
        (None, true, _) => Token::read(std::io::stdin(), "standard input"),
        (None, false, Some(text)) => {
            output::note(
                "warning: every process of this machine can see a token on a command line",
            );
            Token::new(Zeroizing::new(text.clone()))
        }
        (None, false, None) => match variable("CVM_TOKEN") {
            Some(text) => Token::new(Zeroizing::new(text)),
            None => return Ok(None),
        },
    };
    read.map(Some).map_err(remote::failure)
}

pub(super) fn algorithm(chosen: cli::KeyAlgorithm) -> KeyAlgorithm {
    match chosen {
        cli::KeyAlgorithm::EcP256 => KeyAlgorithm::EcP256,
        cli::KeyAlgorithm::EcP384 => KeyAlgorithm::EcP384,
        cli::KeyAlgorithm::Ed25519 => KeyAlgorithm::Ed25519,
        cli::KeyAlgorithm::Rsa2048 => KeyAlgorithm::Rsa2048,
    }
}

fn tell(enrolled: &Enrolled, text: &mut Text) {
    let record = &enrolled.record;
    text.facts(&[
        ("certificate", record.certificate_id.clone()),
        ("thing", record.thing_name.clone()),
        ("not after", record.not_after.clone()),
        ("renew after", record.renew_after.clone()),
        ("files", enrolled.directory.display().to_string()),
    ]);
    if enrolled.outcome == Outcome::AlreadyThere {
        output::note("Everything was there already; nothing was asked for.");
    }
}
