//! Filtering by tags.

use crate::query::Query;

/// Which tags a resource must and must not have. A tag with a comma in it cannot be asked for: the services split there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagFilter {
    /// All of these.
    pub all: Vec<String>,
    /// At least one of these.
    pub any: Vec<String>,
    /// Not all of these at once.
    pub not_all: Vec<String>,
    /// None of these.
    pub not_any: Vec<String>,
}

impl TagFilter {
    /// Resources with all of these tags.
    pub fn all(tags: impl IntoIterator<Item = impl Into<String>>) -> TagFilter {
        TagFilter { all: tags.into_iter().map(Into::into).collect(), ..TagFilter::default() }
    }

    pub(crate) fn add_to(&self, query: &mut Query) {
        for (name, tags) in
            [("tags", &self.all), ("tags-any", &self.any), ("not-tags", &self.not_all), ("not-tags-any", &self.not_any)]
        {
            if !tags.is_empty() {
                query.push(name, tags.join(","));
            }
        }
    }
}
