//! What all resources have in common: a place, a name for one and a name for many.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A kind of resource.
pub(crate) trait Resource: DeserializeOwned {
    /// Collection in the address.
    const PATH: &'static str;
    /// Key of one in a body.
    const ONE: &'static str;
    /// Key of several in a body.
    const MANY: &'static str;

    /// Its id.
    fn id(&self) -> &str;
}

/// `{"port": {…}}`
pub(crate) struct One<R>(pub(crate) R);

/// `{"ports": […], "ports_links": […]}`
pub(crate) struct Many<R> {
    pub(crate) items: Vec<R>,
    /// Whether there is a next page.
    pub(crate) more: bool,
}

#[derive(Deserialize)]
struct Link {
    rel: String,
}

impl<'de, R: Resource> Deserialize<'de> for One<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Body<R>(PhantomData<R>);
        impl<'de, R: Resource> Visitor<'de> for Body<R> {
            type Value = One<R>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object with {:?}", R::ONE)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = None;
                while let Some(key) = map.next_key::<String>()? {
                    if key == R::ONE {
                        found = Some(map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                found.map(One).ok_or_else(|| serde::de::Error::missing_field(R::ONE))
            }
        }
        deserializer.deserialize_map(Body(PhantomData))
    }
}

impl<'de, R: Resource> Deserialize<'de> for Many<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Body<R>(PhantomData<R>);
        impl<'de, R: Resource> Visitor<'de> for Body<R> {
            type Value = Many<R>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object with {:?}", R::MANY)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut items = None;
                let mut more = false;
                while let Some(key) = map.next_key::<String>()? {
                    if key == R::MANY {
                        items = Some(map.next_value()?);
                    } else if key.strip_suffix("_links") == Some(R::MANY) {
                        let links: Vec<Link> = map.next_value()?;
                        more = links.iter().any(|link| link.rel == "next");
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                let items = items.ok_or_else(|| serde::de::Error::missing_field(R::MANY))?;
                Ok(Many { items, more })
            }
        }
        deserializer.deserialize_map(Body(PhantomData))
    }
}
