//! `$name`, `${name}`, `$group.name` and `${group.name}` inside a value stand for another option; `$$` and `\$` for a dollar.
//!
//! As in oslo.config a name without a group means the value's own group first and then `DEFAULT`, and a dollar that no name
//! follows is just a dollar. A name that is no option is an error: a password with a dollar in it must not become another one.

/// Why a value could not be completed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InterpolationError {
    /// No such option.
    #[error("it refers to ${{{0}}}, which is no option; write $$ where a dollar is meant")]
    Unknown(String),
    /// The options refer to each other in a circle.
    #[error("it refers to itself through ${{{0}}}; break the circle")]
    Circle(String),
    /// One of the others, in a secret: the name is a piece of it.
    #[error("a dollar in it is followed by the name of no option, or of itself; write $$ where a dollar is meant")]
    InSecret,
}

/// Completes `value`. `lookup` answers the completed value of another option, by group (none: not said) and name.
///
/// # Errors
/// What `lookup` says.
pub(crate) fn complete<L>(value: &str, lookup: &mut L) -> Result<String, InterpolationError>
where
    L: FnMut(Option<&str>, &str) -> Result<String, InterpolationError>,
{
    let mut done = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find(['$', '\\']) {
        done.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(tail) = rest.strip_prefix("\\$").or_else(|| rest.strip_prefix("$$")) {
            done.push('$');
            rest = tail;
        } else if let Some((reference, tail)) = reference(rest) {
            done.push_str(&match reference.split_once('.') {
                Some((group, name)) => lookup(Some(group), name)?,
                None => lookup(None, reference)?,
            });
            rest = tail;
        } else {
            done.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    done.push_str(rest);
    Ok(done)
}

/// The name behind a dollar at the start of `text`, and what comes after it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let after = text.strip_prefix('$')?;
    let (braced, after) = match after.strip_prefix('{') {
        Some(inner) => (true, inner),
        None => (false, after),
    };
    if !after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return None;
    }
    let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))).unwrap_or(after.len());
    let (name, tail) = after.split_at(end);
    Some((name, if braced { tail.strip_prefix('}')? } else { tail }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn becomes(value: &str, expected: &str) {
        let mut lookup = |group: Option<&str>, name: &str| match (group, name) {
            (None, "dir") => Ok("/etc".to_owned()),
            (Some("neutron"), "user") => Ok("kuryr".to_owned()),
            _ => Err(InterpolationError::Unknown(name.to_owned())),
        };
        assert_eq!(complete(value, &mut lookup).unwrap(), expected);
    }

    #[test]
    fn names_stand_for_options() {
        becomes("$dir/x", "/etc/x");
        becomes("${dir}ward", "/etcward");
        becomes("$neutron.user@${neutron.user}", "kuryr@kuryr");
    }

    #[test]
    fn dollars_can_be_meant() {
        becomes("a$$dir", "a$dir");
        becomes(r"a\$dir", "a$dir");
        becomes("$$$dir", "$/etc");
        becomes("5$", "5$");
        becomes("$5 ${ $-", "$5 ${ $-");
        becomes(r"back\slash", r"back\slash");
        becomes("${dir", "${dir");
    }

    #[test]
    fn what_is_no_option_is_refused_with_the_cure() {
        let mut lookup = |_: Option<&str>, name: &str| Err(InterpolationError::Unknown(name.to_owned()));
        let error = complete("pa$word", &mut lookup).unwrap_err().to_string();
        assert_eq!(error, "it refers to ${word}, which is no option; write $$ where a dollar is meant");
    }
}
