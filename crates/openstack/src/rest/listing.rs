//! Lists of any length: over pages, and over several requests where an address would get too long.

use std::collections::HashSet;

use http::Method;

use super::resource::{Many, Resource};
use super::{Rest, call};
use crate::http::Effect;
use crate::query::Query;
use crate::{Error, ErrorKind};

/// OpenStack's web servers refuse a request line above 8 KiB; this leaves room for the rest of it.
const MAX_QUERY: usize = 6000;

/// How often a list is begun again because the last item of a page was deleted before the next page was asked for.
const MAX_RESTARTS: usize = 5;

/// Filters with any number of values. `None` does not filter; an empty list matches nothing.
pub(crate) type AnyOf<'a> = (&'static str, &'a Option<Vec<String>>);

impl Rest {
    /// All that match `filters` and, of each of `any_of`, one value.
    pub(crate) async fn list<R: Resource>(
        &self,
        filters: Query,
        any_of: &[AnyOf<'_>],
        fields: &[&str],
    ) -> Result<Vec<R>, Error> {
        self.list_at(&format!("/{}", R::PATH), filters, any_of, fields).await
    }

    /// The same in a collection that is not in its kind's usual place: the members of a pool.
    pub(crate) async fn list_at<R: Resource>(
        &self,
        collection: &str,
        filters: Query,
        any_of: &[AnyOf<'_>],
        fields: &[&str],
    ) -> Result<Vec<R>, Error> {
        let mut queries = vec![filters];
        let lists: Vec<_> =
            any_of.iter().filter_map(|(name, values)| values.as_ref().map(|values| (*name, values))).collect();
        for (name, values) in &lists {
            queries = split(queries, name, values, MAX_QUERY / lists.len());
        }
        let pages = queries.into_iter().map(|query| self.all_pages(collection, query, fields));
        // In order, and all at once as far as the service's slots go.
        let parts: Vec<Vec<R>> = futures::future::try_join_all(pages).await?;
        Ok(parts.into_iter().flatten().collect())
    }

    async fn all_pages<R: Resource>(
        &self,
        collection: &str,
        mut query: Query,
        fields: &[&str],
    ) -> Result<Vec<R>, Error> {
        if !fields.is_empty() {
            query.each("fields", fields);
            // The marker of the next page.
            if !fields.contains(&"id") {
                query.push("fields", "id");
            }
        }
        query.push("limit", self.service.page_size().to_string());
        let mut items: Vec<R> = Vec::new();
        let mut seen = HashSet::new();
        let mut restarts = 0;
        let mut marker: Option<String> = None;
        loop {
            let mut page = query.clone();
            page.option("marker", marker.as_ref());
            let path = format!("{collection}{page}");
            let page = match self.service.json::<Many<R>>(call(Method::GET, path, Effect::Read)).await {
                Ok(page) => page,
                Err(error) if error.kind() == ErrorKind::NotFound && marker.is_some() && restarts < MAX_RESTARTS => {
                    restarts += 1;
                    marker = None;
                    items.clear();
                    seen.clear();
                    continue;
                }
                Err(error) => return Err(error),
            };
            marker = page.items.last().map(|item| item.id().to_owned());
            // Some services begin at the first page again when the marker is gone.
            items.extend(page.items.into_iter().filter(|item| seen.insert(item.id().to_owned())));
            if !page.more || marker.is_none() {
                return Ok(items);
            }
        }
    }
}

/// Each query once for every group of values that adds at most `room` bytes.
fn split(queries: Vec<Query>, name: &str, values: &[String], room: usize) -> Vec<Query> {
    let mut groups: Vec<Query> = Vec::new();
    for value in values {
        let mut one = Query::default();
        one.push(name, value);
        match groups.last_mut() {
            Some(group) if group.len() + one.len() <= room => group.push(name, value),
            _ => groups.push(one),
        }
    }
    let with = |query: &Query, group: &Query| query.clone().and(group);
    queries.iter().flat_map(|query| groups.iter().map(move |group| with(query, group))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("{n:036}")).collect()
    }

    #[test]
    fn many_values_are_spread_over_several_queries_and_none_is_lost() {
        let ids = ids(1000);
        let queries = split(vec![Query::default()], "id", &ids, MAX_QUERY);
        assert!(queries.len() > 1);
        assert!(queries.iter().all(|query| query.len() <= MAX_QUERY));
        let sent: Vec<String> = queries
            .iter()
            .flat_map(|query| {
                let text = query.to_string();
                let values = text.trim_start_matches('?').split('&');
                values.map(|pair| pair.trim_start_matches("id=").to_owned()).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(sent, ids);
    }

    #[test]
    fn an_empty_list_asks_for_nothing() {
        assert_eq!(split(vec![Query::default()], "id", &[], MAX_QUERY), []);
    }

    #[test]
    fn two_lists_are_combined() {
        let queries = split(vec![Query::default()], "id", &ids(3), 100);
        let queries = split(queries, "device_id", &ids(3), 100);
        assert_eq!(queries.len(), 4);
    }
}
