//! How a directory comes to a certificate: by its token where there is none, by the certificate
//! where there is one, and by a token again where the registry does not accept it any more.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::state::State;
use super::{Patience, Service};
use crate::enroll::{
    ConfirmOptions, DeviceRecord, EnrollOptions, Existing, KEY_FILE, Outcome, confirm, enroll,
};
use crate::error::Error;
use crate::files;
use crate::identity::{self, Set};
use crate::keys::KeyAlgorithm;
use crate::renew::{RenewOptions, When, renew};
use crate::report::Reporter;
use crate::token::Token;

impl Service {
    pub(super) fn bring(
        &self,
        state: &mut State,
        patience: Patience,
        reporter: &dyn Reporter,
    ) -> Result<DeviceRecord, Error> {
        if identity::record(&self.config.directory, Set::Current)?.is_none() {
            let token = self.token(reporter)?.ok_or_else(|| self.no_token())?;
            return self.enroll(token, Existing::Keep, (state, patience), reporter);
        }
        let fault = match self.renew(None, patience, reporter) {
            Ok(record) => return Ok(record),
            Err(fault) => fault,
        };
        if fault.slug() != "certificate-expired" {
            return self.replace(fault, (state, patience), reporter);
        }
        match self.token(reporter)? {
            Some(token) => self.renew(Some(token), patience, reporter),
            None => Err(fault),
        }
    }

    /// Lets the server accept the certificate, or the one that takes its place.
    pub(super) fn prove(
        &self,
        state: &mut State,
        patience: Patience,
        reporter: &dyn Reporter,
    ) -> Result<DeviceRecord, Error> {
        let options = ConfirmOptions {
            server: Some(self.config.server.clone()),
            retries: patience.retries(),
            clock: self.clock(),
        };
        let directory = &self.config.directory;
        confirm(directory, &options, reporter).or_else(|fault| {
            self.replace(fault, (state, patience), reporter)?;
            confirm(directory, &options, reporter)
        })
    }

    /// Asks with the token for a certificate in the place of one that is refused for good.
    fn replace(
        &self,
        fault: Error,
        pass: (&mut State, Patience),
        reporter: &dyn Reporter,
    ) -> Result<DeviceRecord, Error> {
        let is_over = matches!(
            fault.slug(),
            "certificate-revoked" | "certificate-superseded" | "certificate-unknown"
        );
        if !is_over {
            return Err(fault);
        }
        let Some(token) = self.token(reporter)? else {
            return Err(fault);
        };
        reporter.step(&format!("{fault}; asking with the token"));
        self.enroll(token, Existing::Replace, pass, reporter)
    }

    fn enroll(
        &self,
        token: Token,
        existing: Existing,
        (state, patience): (&mut State, Patience),
        reporter: &dyn Reporter,
    ) -> Result<DeviceRecord, Error> {
        let config = &self.config;
        if !state.awaits_confirmation {
            state.awaits_confirmation = true;
            state.write(&config.directory)?;
        }
        let trust = config.trust.clone();
        let (server, serial) = (&config.server, &config.serial_number);
        let mut options = EnrollOptions::new(server, trust, serial, token, &config.directory);
        options.key_algorithm = self.algorithm_of_new(KEY_FILE);
        options.existing = existing;
        options.retries = patience.retries();
        options.clock = self.clock();
        let enrolled = enroll(&options, reporter)?;
        if enrolled.outcome == Outcome::Written {
            reporter.step(&format!("enrolled as {}", enrolled.record.thing_name));
        }
        Ok(enrolled.record)
    }

    fn renew(
        &self,
        token: Option<Token>,
        patience: Patience,
        reporter: &dyn Reporter,
    ) -> Result<DeviceRecord, Error> {
        let mut options = RenewOptions::new(&self.config.directory, When::IfDue);
        options.server = Some(self.config.server.clone());
        options.key_algorithm = self.algorithm_of_new(&Set::Next.name(KEY_FILE));
        options.token = token;
        options.retries = patience.retries();
        options.clock = self.clock();
        renew(&options, reporter).map(|renewal| renewal.record().clone())
    }

    /// The algorithm for a key that is to be made: one that was made already keeps its own.
    fn algorithm_of_new(&self, name: &str) -> Option<KeyAlgorithm> {
        let is_made = self.config.directory.join(name).exists();
        self.config.key_algorithm.filter(|_| !is_made)
    }

    /// The device's token, if there is one now.
    fn token(&self, reporter: &dyn Reporter) -> Result<Option<Token>, Error> {
        let Some(path) = self.token_path() else {
            return self.other_token.text.clone().map(Token::new).transpose();
        };
        if files::is_open_to_others(path) {
            let path = path.display();
            reporter.step(&format!("{path} can be read by others: chmod 600 {path}"));
        }
        let read = Token::from_file(path);
        // Nobody typed it here: it is a file to mend, and looked at again soon.
        if let Err(Error::Usage(what)) = read {
            return Err(Error::LocalContent { what });
        }
        read.map(Some)
    }

    /// The file that the token is in, if it is in one.
    fn token_path(&self) -> Option<&PathBuf> {
        let files = [&self.config.token_file, &self.other_token.file];
        files.into_iter().flatten().find(|path| path.exists())
    }

    /// By what one token file is told from the next.
    pub(super) fn token_stamp(&self) -> Option<String> {
        let found = self.token_path()?.metadata().ok()?;
        let (seconds, nanoseconds) = (found.mtime(), found.mtime_nsec());
        Some(format!("{seconds}.{nanoseconds:09} {} {}", found.ino(), found.len()))
    }

    fn no_token(&self) -> Error {
        let file = match &self.config.token_file {
            Some(path) => format!("{} is not there", path.display()),
            None => "the configuration names no `token_file`".to_owned(),
        };
        let what = format!(
            "there is no token to enroll {} with: {file}, and neither a credential `token` nor \
             $CVM_TOKEN",
            self.config.serial_number
        );
        Error::LocalContent { what }
    }
}
