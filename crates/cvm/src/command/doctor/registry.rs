//! What the registry says of the fleet and of those who run it: credentials, timers, CRLs, reviews,
//! alarms.

use cvm_core::operator::Role;
use cvm_core::time::{Span, Timestamp};
use cvm_store::{LiveToken, Survey};

use super::check::Check;
use super::report::{Finding, Report};
use super::{Patient, Server};

/// How long before the end of the last credential of an owner it is told.
const WARN_BEFORE_OWNER: Span = Span(30 * Span::DAY.0);
/// The same for any credential: a program may use it.
const WARN_BEFORE: Span = Span(7 * Span::DAY.0);

/// Looks at what the store tells.
pub(super) fn check(patient: &Patient<'_>, server: &Server, now: Timestamp, report: &mut Report) {
    let Some(survey) = patient.survey.as_ref().filter(|survey| !survey.is_old) else { return };
    report.add_all(
        tokens(&survey.tokens, now),
        Finding::ok(
            Check::AdminTokens,
            format!("tokens that let operators in: {}", survey.tokens.len()),
        ),
    );
    let cure = match server {
        Server::Down(_) => "start the server: it does that in its first minute",
        Server::Mute(_) | Server::Up(_) => {
            "look again in two minutes; if they still wait, the server's log says why"
        }
    };
    report.add(timers(survey, cure));
    report.add(crls(survey, cure));
    report.add(reviews(survey));
    report.add(alarms(survey));
}

fn tokens(tokens: &[LiveToken], now: Timestamp) -> Vec<Finding> {
    let owner = Role::Owner.as_str();
    let make = |name: &str, role: &str| {
        format!("cvm admin token create NAME --role {role}; then use it in the place of {name}")
    };
    let ends_within =
        |token: &LiveToken, span: Span| token.expires_at.is_some_and(|end| end.since(now) < span);
    let owners: Vec<&LiveToken> = tokens.iter().filter(|token| token.role == owner).collect();
    let Some(last) =
        owners.iter().max_by_key(|token| token.expires_at.map_or(i64::MAX, |end| end.0))
    else {
        let what = "no owner's token lets in: nobody can make another or accept a time";
        let cure = "restore a backup of the data directory in which one does";
        return vec![Finding::failed(Check::AdminTokens, what, cure)];
    };
    let mut found = Vec::new();
    if let Some(end) = last.expires_at.filter(|_| ends_within(last, WARN_BEFORE_OWNER)) {
        let what = format!(
            "the last owner's token, {}, ends at {end}, and nobody can then make another",
            last.name
        );
        found.push(Finding::warning(Check::AdminTokens, what, make(&last.name, owner)));
    }
    for token in tokens.iter().filter(|token| token.name != last.name) {
        let Some(end) = token.expires_at.filter(|_| ends_within(token, WARN_BEFORE)) else {
            continue;
        };
        let what = format!("the token {} ({}) ends at {end}", token.name, token.role);
        let cure = format!(
            "{}; or revoke it, if nobody needs it: cvm admin token list",
            make(&token.name, &token.role)
        );
        found.push(Finding::warning(Check::AdminTokens, what, cure));
    }
    found
}

fn timers(survey: &Survey, cure: &str) -> Finding {
    match survey.devices_late {
        0 => Finding::ok(Check::Timers, "no device waits for the timer"),
        late => {
            let what = format!(
                "{late} devices wait for the timer for more than {}: what is over for them is not \
                 in the registry yet",
                Survey::LATE_AFTER
            );
            Finding::warning(Check::Timers, what, cure)
        }
    }
}

fn crls(survey: &Survey, cure: &str) -> Finding {
    match survey.crls_past {
        0 => Finding::ok(Check::Crls, "every CRL that was signed is still good"),
        past => {
            let what =
                format!("{past} CRLs are past their end: who has them refuses every certificate");
            Finding::warning(Check::Crls, what, cure)
        }
    }
}

fn reviews(survey: &Survey) -> Finding {
    match survey.reviews_open {
        0 => Finding::ok(Check::Reviews, "nothing waits for a human"),
        open => {
            let what = format!("{open} devices wait for a human to say whether their key is right");
            let cure = "cvm review list; then cvm review approve or deny each";
            Finding::warning(Check::Reviews, what, cure)
        }
    }
}

fn alarms(survey: &Survey) -> Finding {
    let of_each: Vec<String> =
        survey.alarms.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    if of_each.is_empty() {
        return Finding::ok(Check::Alarms, "there was no alarm in the last day");
    }
    let what = format!("alarms of the last day: {}", of_each.join(", "));
    let cure = "cvm explain SERIAL tells what became of a device's requests, GET /v1/journal which \
                devices they were";
    Finding::warning(Check::Alarms, what, cure)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_767_225_600);

    fn token(name: &str, role: Role, days: Option<i64>) -> LiveToken {
        let expires_at = days.map(|days| NOW.plus(Span(days * Span::DAY.0)));
        LiveToken { name: name.to_owned(), role: role.as_str().to_owned(), expires_at }
    }

    fn told(live: &[LiveToken]) -> String {
        format!("{:?}", tokens(live, NOW))
    }

    #[test]
    fn the_last_owners_end_is_told_before_it_comes() {
        assert!(told(&[token("a", Role::Viewer, None)]).contains("Failed"));
        let lasting = token("boss", Role::Owner, None);
        assert_eq!(told(&[lasting.clone(), token("b", Role::Owner, Some(8))]), "[]");
        let ending = [token("boss", Role::Owner, Some(29)), token("b", Role::Owner, Some(3))];
        let told_of = told(&ending);
        assert!(told_of.contains("the last owner's token, boss"), "{told_of}");
        assert!(told_of.contains("the token b (owner)"), "{told_of}");
        assert_eq!(told(&[token("boss", Role::Owner, Some(30))]), "[]");
        assert!(
            told(&[lasting, token("ci", Role::Registrar, Some(6))]).contains("--role registrar")
        );
    }
}
