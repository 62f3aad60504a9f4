//! Keystone's projects.

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::Deserialize;

use crate::auth::AuthInfo;
use crate::http::{Call, Effect};
use crate::query::Query;
use crate::service::Service;
use crate::{Error, ErrorKind};

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Project {
    /// Id.
    pub id: String,
    /// Name, unique in its domain.
    pub name: String,
    /// Domain it belongs to; unknown when answered from our own token.
    pub domain_id: Option<String>,
}

/// Finds a project by id, then by name.
pub(crate) async fn find(identity: &Service, own: &AuthInfo, name_or_id: &str) -> Result<Project, Error> {
    if let (Some(id), Some(name)) = (&own.project_id, &own.project_name)
        && (id == name_or_id || name == name_or_id)
    {
        return Ok(Project { id: id.clone(), name: name.clone(), domain_id: None });
    }
    #[derive(Deserialize)]
    struct One {
        project: Project,
    }
    #[derive(Deserialize)]
    struct Many {
        projects: Vec<Project>,
    }
    match identity.json::<One>(read(format!("/projects/{}", Query::encode(name_or_id)))).await {
        Ok(found) => return Ok(found.project),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut query = Query::default();
    query.push("name", name_or_id);
    let mut found = identity.json::<Many>(read(format!("/projects{query}"))).await?.projects;
    let several = found.len() > 1;
    match found.pop() {
        Some(_) if several => {
            Err(Error::new(ErrorKind::Conflict, format!("more than one project is called {name_or_id:?}"))
                .with_cure("give the project's id"))
        }
        Some(project) => Ok(project),
        None => Err(Error::new(ErrorKind::NotFound, format!("there is no project {name_or_id:?}"))
            .with_cure("check its name or id with: openstack project list")),
    }
}

fn read(path: String) -> Call {
    Call { method: Method::GET, path, headers: HeaderMap::new(), body: Bytes::new(), effect: Effect::Read }
}
