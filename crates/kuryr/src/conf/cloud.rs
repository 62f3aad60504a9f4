//! `[neutron]` → how to reach the cloud.

use kuryr_openstack::CloudSettings;

use super::options::{self, kuryr, neutron};
use super::{Conf, ConfError};

impl Conf {
    /// Settings of the cloud: `[neutron]`, or, if it names no Keystone, the usual `OS_*` variables or `clouds.yaml`.
    ///
    /// # Errors
    /// Settings that are missing or cannot work.
    pub(crate) fn cloud(&self) -> Result<CloudSettings, ConfError> {
        self.own_section()?;
        let mut settings = if self.credential(neutron::auth_url.name)?.is_none() {
            CloudSettings::from_environment().map_err(|error| {
                ConfError::Unusable(format!("[neutron] auth_url is not set, and elsewhere: {error}"))
            })?
        } else {
            // Everything is read before it is asked for, so that a value with a bad reference is an error, not absent.
            let mut values = std::collections::BTreeMap::new();
            for option in neutron::GROUP.options {
                if let Some(value) = self.credential(option.name)? {
                    values.insert(option.name, value);
                }
            }
            let source = self
                .find(&neutron::auth_url)
                .map_or_else(|| "[neutron]".to_owned(), |said| format!("[neutron] ({})", said.origin));
            CloudSettings::from_options(&source, |name| values.get(name).cloned())
                .map_err(|error| ConfError::Unusable(error.to_string()))?
        };
        settings.max_concurrency = self.whole(&kuryr::cloud_concurrency)?;
        Ok(settings)
    }

    /// Refuses the name of a section that is not there: the credentials meant would silently be others.
    fn own_section(&self) -> Result<(), ConfError> {
        let Some(name) = self.some_text(&neutron::auth_section)? else { return Ok(()) };
        let section = options::normal(&name);
        if self.said.keys().any(|(group, _)| *group == section) {
            return Ok(());
        }
        let trouble = format!("there is no section [{name}], or nothing in it; write the credentials there");
        Err(self.refuse(&neutron::auth_section, &name, &trouble))
    }

    /// An option of `[neutron]`, from the section `auth_section` names if it is there.
    fn credential(&self, name: &str) -> Result<Option<String>, ConfError> {
        if let Some(section) = self.some_text(&neutron::auth_section)? {
            let section = options::normal(&section);
            let names = options::find("neutron", name).map_or(&[] as &[&str], |(option, _)| option.old);
            for name in std::iter::once(name).chain(names.iter().copied()) {
                if self.said.contains_key(&(section.clone(), name.to_owned())) {
                    let done = self.completed(&section, name, &mut Vec::new());
                    return done.map(Some).map_err(|error| ConfError::Value {
                        place: self.said[&(section.clone(), name.to_owned())].origin.to_string(),
                        title: format!("[{section}] {name}"),
                        shown: "(not shown)".to_owned(),
                        trouble: error.to_string(),
                    });
                }
            }
        }
        match options::find("neutron", name) {
            Some((option, _)) => Ok(self.raw(option)?.filter(|value| !value.trim().is_empty())),
            None => Ok(None),
        }
    }
}
