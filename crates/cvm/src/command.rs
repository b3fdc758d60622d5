//! What each command does: one file a command.

mod admin;
mod certificate;
mod completions;
mod config;
mod dev;
mod device;
mod doctor;
mod enroll;
mod explain;
mod import;
mod init;
mod operate;
mod policy;
mod rehearse;
mod remote;
mod renew;
mod review;
mod serve;

use crate::cli::{
    AdminCommand, AdminTokenCommand, CertificateCommand, Cli, Command, ConfigCommand,
    DeviceCommand, PolicyCommand, ReviewCommand,
};
use crate::failure::Done;

#[cfg(feature = "aws")]
pub(crate) use config::load as config_load;

/// Does what was typed.
pub(crate) fn run(cli: Cli) -> Done {
    match cli.command {
        Command::Admin(AdminCommand::Token(command)) => match command {
            AdminTokenCommand::Create(args) => admin::create(&args),
            AdminTokenCommand::List(args) => admin::list(&args),
            AdminTokenCommand::Revoke { id, server } => admin::revoke(&id, &server),
        },
        Command::Certificate(CertificateCommand::List(args)) => certificate::list(&args),
        Command::Certificate(CertificateCommand::Show { id, server }) => {
            certificate::show(&id, &server)
        }
        Command::Certificate(CertificateCommand::Revoke { id, reason, server }) => {
            certificate::revoke(&id, &reason, &server)
        }
        Command::Completions { shell } => completions::print(shell),
        Command::Config(ConfigCommand::Check(args)) => config::check(&args),
        Command::Config(ConfigCommand::Show(args)) => config::show(&args),
        Command::Dev(args) => dev::run(&args),
        Command::Device(DeviceCommand::Add(args)) => device::add(&args),
        Command::Device(DeviceCommand::Delete { keep_thing, device }) => {
            operate::delete(&device, keep_thing)
        }
        Command::Device(DeviceCommand::Disable(args)) => operate::act(&args, "disable"),
        Command::Device(DeviceCommand::Enable(args)) => operate::act(&args, "enable"),
        Command::Device(DeviceCommand::NewToken(args)) => operate::new_token(&args),
        Command::Device(DeviceCommand::Enroll(args)) => enroll::run(&args),
        Command::Device(DeviceCommand::Import(args)) => import::run(&args),
        Command::Device(DeviceCommand::List(args)) => device::list(&args),
        Command::Device(DeviceCommand::Renew(args)) => renew::run(&args),
        Command::Device(DeviceCommand::Show { serial, server }) => device::show(&serial, &server),
        Command::Doctor(args) => doctor::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Policy(PolicyCommand::List(args)) => policy::list(&args),
        Command::Policy(PolicyCommand::Put { name, file, server }) => {
            policy::put(&name, &file, &server)
        }
        Command::Policy(PolicyCommand::Show { name, server }) => policy::show(&name, &server),
        Command::Rehearse(args) => rehearse::run(&args),
        Command::Review(ReviewCommand::Approve(args)) => review::decide(&args, "approve"),
        Command::Review(ReviewCommand::Deny(args)) => review::decide(&args, "deny"),
        Command::Review(ReviewCommand::List(args)) => review::list(&args),
        Command::Serve(args) => serve::run(&args),
    }
}
