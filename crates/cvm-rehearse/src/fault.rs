//! How an exchange goes wrong on purpose: which one, by seed; and where.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::rng::Rng;

/// A million of these are everything.
const MILLION: usize = 1_000_000;

/// The answer to a vend has about so many bytes; where it is shorter, its end is lost.
const ANSWER_BYTES: usize = 4_096;

/// How many answers are lost, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss(u32);

/// Not a loss.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("expected how many of a hundred answers are lost, from 0% to 90%, such as 5%")]
pub struct LossError;

impl FromStr for Loss {
    type Err = LossError;

    fn from_str(text: &str) -> Result<Self, LossError> {
        let number = text.strip_suffix('%').unwrap_or(text);
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = [whole, part].iter().all(|digits| {
            !digits.is_empty() && digits.len() <= 4 && digits.bytes().all(|it| it.is_ascii_digit())
        });
        if !is_number {
            return Err(LossError);
        }
        let parse = |digits: &str| digits.parse::<u32>().map_err(|_| LossError);
        let millionths = parse(whole)? * 10_000 + parse(&format!("{part:0<4}"))?;
        Some(Self(millionths)).filter(|_| millionths <= 900_000).ok_or(LossError)
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = format!("{:04}", self.0 % 10_000);
        let part = part.trim_end_matches('0');
        let dot = if part.is_empty() { "" } else { "." };
        write!(f, "{}{dot}{part}%", self.0 / 10_000)
    }
}

/// What happens to one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection breaks after so many bytes of the answer.
    CutAnswer(usize),
    /// The connection breaks after so many bytes of the request.
    CutRequest(usize),
    /// The answer arrives whole, and the device loses power before its flash is written.
    Forget,
    /// The device hangs up when the request has left.
    HangUp,
}

impl Fault {
    /// The fault of an exchange with this luck, if it has one. Of the request's bytes, only the
    /// first `cuttable` are where it may be cut off.
    pub(crate) fn draw(loss: Loss, cuttable: usize, mut luck: Rng) -> Option<Self> {
        if luck.below(MILLION) >= usize::try_from(loss.0).unwrap_or(MILLION) {
            return None;
        }
        Some(match luck.below(4) {
            0 => Self::CutAnswer(1 + luck.below(ANSWER_BYTES)),
            1 => Self::CutRequest(1 + luck.below(cuttable.saturating_sub(1))),
            2 => Self::Forget,
            _ => Self::HangUp,
        })
    }

    /// As reports call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CutAnswer(_) => "answerCut",
            Self::CutRequest(_) => "requestCut",
            Self::Forget => "answerForgotten",
            Self::HangUp => "hungUp",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_read_as_it_is_printed() {
        for text in ["0%", "5%", "0.5%", "12.25%", "90%"] {
            assert_eq!(text.parse::<Loss>().unwrap().to_string(), text);
        }
        assert_eq!("5".parse::<Loss>(), "5%".parse());
        for bad in ["", "%", "-1%", "91%", "5.%", ".5%", "five", "1e3", "99999999999%"] {
            assert_eq!(bad.parse::<Loss>(), Err(LossError), "{bad}");
        }
    }

    #[test]
    fn about_as_many_are_lost_as_was_asked_for_and_in_every_way() {
        let loss = "5%".parse().unwrap();
        let faults: Vec<Fault> =
            (0..20_000).filter_map(|n| Fault::draw(loss, 100, Rng::at(1, &[n]))).collect();
        assert!((800..1_200).contains(&faults.len()), "{}", faults.len());
        for name in ["answerCut", "requestCut", "answerForgotten", "hungUp"] {
            assert!(faults.iter().filter(|fault| fault.name() == name).count() > 150, "{name}");
        }
        let is_within = |fault: &Fault| !matches!(fault, Fault::CutRequest(at) if *at >= 100);
        assert!(faults.iter().all(is_within), "a cut request is never whole");
        assert_eq!(Fault::draw("0%".parse().unwrap(), 100, Rng::at(1, &[1])), None);
    }
}
