//! What an option's value may be, and how its text is read: the types of oslo.config.

use std::collections::BTreeMap;

/// Type of an option.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// Text that is never shown.
    Secret,
    /// true, 1, on, yes; false, 0, off, no; in any case.
    Flag,
    /// A decimal whole number, not below the first and not above the second.
    Whole(i64, i64),
    /// A decimal number.
    Number,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Any of these words, divided by commas.
    Words(&'static [&'static str]),
    /// Texts divided by commas.
    List,
    /// `key:value` pairs divided by commas.
    Pairs,
}

/// A whole number that counts something.
pub(crate) const COUNT: Kind = Kind::Whole(0, i64::MAX);
/// Any whole number.
pub(crate) const WHOLE: Kind = Kind::Whole(i64::MIN, i64::MAX);
/// A TCP port; 0 where it means "off".
pub(crate) const PORT: Kind = Kind::Whole(0, 65535);

/// A value that was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Of [`Kind::Text`], [`Kind::Secret`], [`Kind::Word`].
    Text(String),
    /// Of [`Kind::Flag`].
    Flag(bool),
    /// Of [`Kind::Whole`].
    Whole(i64),
    /// Of [`Kind::Number`].
    Number(f64),
    /// Of [`Kind::List`], [`Kind::Words`].
    List(Vec<String>),
    /// Of [`Kind::Pairs`].
    Pairs(BTreeMap<String, String>),
}

impl Kind {
    /// Reads a text. `None`: the text is empty, which for this type means that nothing was said.
    ///
    /// # Errors
    /// What would be allowed.
    pub(crate) fn read(self, text: &str) -> Result<Option<Value>, String> {
        let refuse = || self.allowed();
        Ok(Some(match self {
            Kind::Text | Kind::Secret => Value::Text(text.to_owned()),
            Kind::List => Value::List(filled(text)?),
            Kind::Words(words) => {
                let chosen = filled(text)?;
                if chosen.iter().any(|word| !words.contains(&word.as_str())) {
                    return Err(refuse());
                }
                Value::List(chosen)
            }
            Kind::Pairs => Value::Pairs(pairs(text).ok_or_else(refuse)?),
            _ if text.trim().is_empty() => return Ok(None),
            Kind::Word(words) if words.contains(&text.trim()) => Value::Text(text.trim().to_owned()),
            Kind::Word(_) => return Err(refuse()),
            Kind::Flag => Value::Flag(flag(text).ok_or_else(refuse)?),
            Kind::Whole(least, most) => {
                let number = text.trim().parse().ok().filter(|number| (least..=most).contains(number));
                Value::Whole(number.ok_or_else(refuse)?)
            }
            Kind::Number => {
                Value::Number(text.trim().parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(refuse)?)
            }
        }))
    }

    /// What the type allows, in words.
    pub(crate) fn allowed(self) -> String {
        match self {
            Kind::Text => "any text".to_owned(),
            Kind::Secret => "any text (never shown)".to_owned(),
            Kind::Flag => "true or false".to_owned(),
            Kind::Whole(i64::MIN, i64::MAX) => "a whole number".to_owned(),
            Kind::Whole(least, i64::MAX) => format!("a whole number, {least} or more"),
            Kind::Whole(least, most) => format!("a whole number from {least} to {most}"),
            Kind::Number => "a number".to_owned(),
            Kind::Word(words) => format!("one of {}", words.join(", ")),
            Kind::Words(words) => format!("a list, divided by commas, of {}", words.join(", ")),
            Kind::List => "a list divided by commas".to_owned(),
            Kind::Pairs => "pairs key:value divided by commas".to_owned(),
        }
    }
}

fn flag(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "on" | "yes" => Some(true),
        "false" | "0" | "off" | "no" => Some(false),
        _ => None,
    }
}

/// Divides at commas; blanks around items, and a comma behind the last one, mean nothing. Quotes do not protect a comma.
fn items(text: &str) -> Vec<String> {
    let mut items: Vec<String> = text.split(',').map(|item| item.trim().to_owned()).collect();
    items.pop_if(|last| last.is_empty());
    items
}

/// The same, without empty ones in between: what they should have been is not known.
fn filled(text: &str) -> Result<Vec<String>, String> {
    let items = items(text);
    if items.iter().any(String::is_empty) {
        return Err("a list without empty entries: two commas follow each other, or one comes first".to_owned());
    }
    Ok(items)
}

fn pairs(text: &str) -> Option<BTreeMap<String, String>> {
    let pair = |item: String| {
        let (key, value) = item.split_once(':')?;
        Some((key.trim().to_owned(), value.trim().to_owned()))
    };
    items(text).into_iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn list(text: &str, expected: &[&str]) {
        let expected = expected.iter().map(|item| (*item).to_owned()).collect();
        assert_eq!(Kind::List.read(text), Ok(Some(Value::List(expected))));
    }

    #[test]
    fn flags_are_words_in_any_case() {
        for text in ["true", "1", "ON", "Yes", " True "] {
            assert_eq!(Kind::Flag.read(text), Ok(Some(Value::Flag(true))), "{text}");
        }
        for text in ["false", "0", "off", "NO"] {
            assert_eq!(Kind::Flag.read(text), Ok(Some(Value::Flag(false))), "{text}");
        }
        assert_eq!(Kind::Flag.read("maybe"), Err("true or false".to_owned()));
    }

    #[test]
    fn whole_numbers_are_decimal_and_bounded() {
        assert_eq!(PORT.read("8082"), Ok(Some(Value::Whole(8082))));
        assert_eq!(PORT.read("65536"), Err("a whole number from 0 to 65535".to_owned()));
        assert_eq!(WHOLE.read("0x10"), Err("a whole number".to_owned()));
        assert_eq!(COUNT.read("-1"), Err("a whole number, 0 or more".to_owned()));
        assert_eq!(COUNT.read("4096  # text"), Err("a whole number, 0 or more".to_owned()));
        assert_eq!(COUNT.read(""), Ok(None), "an empty number was not said");
    }

    #[test]
    fn lists_end_with_or_without_a_comma() {
        list("", &[]);
        list("vif,endpoints,\nkuryrport", &["vif", "endpoints", "kuryrport"]);
        list("a, b ,", &["a", "b"]);
        list("a\nb", &["a\nb"]);
        list("\"a,b\"", &["\"a", "b\""]);
    }

    #[test]
    fn lists_have_no_empty_entries() {
        for text in ["a,,b", ",a", "a, ,b", "a,,"] {
            let error = Kind::List.read(text).unwrap_err();
            assert!(error.contains("without empty entries"), "{text}: {error}");
            assert!(Kind::Words(&["a", "b"]).read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pairs_divide_at_the_first_colon() {
        let expected = [("a".to_owned(), "b:c".to_owned()), ("d".to_owned(), "e".to_owned())].into();
        assert_eq!(Kind::Pairs.read("a:b:c, d : e"), Ok(Some(Value::Pairs(expected))));
        assert!(Kind::Pairs.read("a").is_err());
        assert_eq!(Kind::Pairs.read(""), Ok(Some(Value::Pairs(BTreeMap::new()))));
    }

    #[test]
    fn words_are_from_their_list() {
        assert_eq!(Kind::Word(&["a", "b"]).read("c"), Err("one of a, b".to_owned()));
        assert!(Kind::Words(&["a", "b"]).read("a,c").is_err());
        assert_eq!(Kind::Words(&["a", "b"]).read("b,a,"), Ok(Some(Value::List(vec!["b".into(), "a".into()]))));
    }
}
