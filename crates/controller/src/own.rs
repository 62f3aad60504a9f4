//! Writing our own custom resources: what the API server answers is taken into the cache at once.

use std::fmt::Debug;

use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use crate::cache::{Cache, Key, Versioned, version_of};
use crate::trouble::Trouble;

/// An object without what nobody here reads.
pub(crate) fn digest<K: Resource>(mut object: K) -> K {
    object.meta_mut().managed_fields = None;
    object
}

/// Merges `patch` into `object`, which must name its uid: a successor of the same name is left alone.
///
/// # Errors
/// What the API server said; on a conflict the cache has the newer object then.
pub(crate) async fn patch<K>(
    api: &Api<K>,
    cache: &Cache<K>,
    key: &Key,
    object: &K,
    patch: serde_json::Value,
) -> Result<(), Trouble>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    match api.patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(patched) => {
            let patched = digest(patched);
            if patched.meta().deletion_timestamp.is_some() && patched.finalizers().is_empty() {
                cache.remove(key, Versioned::uid(&patched), version_of(&patched));
            } else {
                cache.wrote(key.clone(), patched);
            }
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.code == 404 => {
            cache.remove(key, Versioned::uid(object), version_of(object));
            Ok(())
        }
        // What we saw is old. Look for ourselves rather than wait for the watch.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            if let Some(found) = api.get_opt(&key.name).await? {
                cache.wrote(key.clone(), digest(found));
            }
            Err(kube::Error::Api(status).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Deletes `object`, unless another has its name by now.
///
/// # Errors
/// What the API server said.
pub(crate) async fn delete<K>(api: &Api<K>, cache: &Cache<K>, key: &Key, object: &K) -> Result<(), Trouble>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let uid = Versioned::uid(object);
    let parameters = DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::default()
    };
    match api.delete(&key.name, &parameters).await {
        Ok(either) => {
            match either.left() {
                Some(marked) if marked.meta().deletion_timestamp.is_some() && !marked.finalizers().is_empty() => {
                    cache.wrote(key.clone(), digest(marked));
                }
                _ => cache.remove(key, uid, version_of(object)),
            }
            Ok(())
        }
        // Gone, or replaced by another of the same name: the watch will say which.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {
            cache.remove(key, uid, version_of(object));
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
