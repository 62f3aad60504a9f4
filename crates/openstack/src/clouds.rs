//! Settings from the places OpenStack's own tools look: `clouds.yaml`, `secure.yaml`, `clouds-public.yaml`, `OS_*`.
//!
//! See the [openstacksdk documentation](https://docs.openstack.org/openstacksdk/latest/user/config/configuration.html).

use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::settings::CloudSettings;
use crate::{Error, ErrorKind};

impl CloudSettings {
    /// Settings from this process's environment.
    ///
    /// `OS_CLOUD` names a cloud of `clouds.yaml`. Without it `OS_AUTH_URL` and the other `OS_*` variables are the
    /// settings, and without those `clouds.yaml` is used if it has only one cloud.
    pub fn from_environment() -> Result<CloudSettings, Error> {
        CloudSettings::from_variables(&|name| std::env::var(name).ok())
    }

    /// The same with any source of variables.
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Result<CloudSettings, Error> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let cloud = variable("OS_CLOUD");
        if cloud.is_none() && variable("OS_AUTH_URL").is_some() {
            return CloudSettings::from_options("environment (OS_*)", |option| {
                variable(&format!("OS_{}", option.to_ascii_uppercase()))
            });
        }
        CloudSettings::from_clouds_yaml(&find_clouds_yaml(&variable)?, cloud.as_deref())
    }

    /// A cloud of a `clouds.yaml`, or its only one. Secrets are added from `secure.yaml`, and a named `profile` from
    /// `clouds-public.yaml`, next to it.
    pub fn from_clouds_yaml(path: &Path, cloud: Option<&str>) -> Result<CloudSettings, Error> {
        let mut clouds = section(path, "clouds")?.ok_or_else(|| {
            no_such_file(path).with_cure("create it, or set OS_AUTH_URL and the other OS_* variables")
        })?;
        if let Some(secrets) = section(&path.with_file_name("secure.yaml"), "clouds")? {
            for (name, secret) in secrets {
                // Secrets alone make no cloud.
                if let Some(cloud) = clouds.get_mut(&name) {
                    merge(cloud, secret);
                }
            }
        }
        let names = || clouds.keys().cloned().collect::<Vec<_>>().join(", ");
        let name = match cloud {
            Some(name) if !clouds.is_empty() => name.to_owned(),
            None if clouds.len() == 1 => names(),
            _ if clouds.is_empty() => {
                return Err(Error::new(ErrorKind::Settings, format!("{} has no clouds in it", path.display()))
                    .with_cure("put one under clouds, or set OS_AUTH_URL and the other OS_* variables"));
            }
            _ => {
                return Err(Error::new(ErrorKind::Settings, format!("{} has several clouds", path.display()))
                    .with_cure(format!("set OS_CLOUD to one of {}", names())));
            }
        };
        let Some(cloud) = clouds.get(&name) else {
            return Err(Error::new(ErrorKind::Settings, format!("{} has no cloud {name:?}", path.display()))
                .with_cure(format!("set OS_CLOUD to one of {}", names())));
        };
        let cloud = with_profile(cloud.clone(), &path.with_file_name("clouds-public.yaml"))?;
        let source = format!("cloud {name} of {}", path.display());
        CloudSettings::from_options(&source, |option| {
            let value = cloud.get(option).or_else(|| cloud.get("auth")?.get(option));
            match option {
                "region_name" => value.or_else(|| cloud.get("regions")?.get(0)).and_then(region),
                _ => value.and_then(text),
            }
        })
    }
}

/// The first that exists of the files openstacksdk would read.
fn find_clouds_yaml(variable: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, Error> {
    if let Some(path) = variable("OS_CLIENT_CONFIG_FILE") {
        return Ok(path.into());
    }
    let config =
        variable("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| Some(Path::new(&variable("HOME")?).join(".config")));
    let folders = [Some(PathBuf::from(".")), config.map(|c| c.join("openstack")), Some("/etc/openstack".into())];
    let mut places = folders.into_iter().flatten().flat_map(|f| [f.join("clouds.yaml"), f.join("clouds.yml")]);
    places.find(|path| path.exists()).ok_or_else(|| {
        Error::new(ErrorKind::Settings, "there are no settings for a cloud: neither OS_* variables nor a clouds.yaml")
            .with_cure("set OS_CLOUD, or OS_AUTH_URL and credentials (the dashboard offers an openrc file)")
    })
}

fn no_such_file(path: &Path) -> Error {
    Error::new(ErrorKind::Settings, format!("there is no {}", path.display()))
}

/// The mapping under `key` of a YAML file; `None` if there is no such file.
fn section(path: &Path, key: &str) -> Result<Option<Map<String, Value>>, Error> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == NotFound => return Ok(None),
        Err(error) => {
            return Err(Error::new(ErrorKind::Settings, format!("{} cannot be read", path.display()))
                .because(&error)
                .with_cure("make it readable for this user"));
        }
    };
    // The parser's message quotes lines of the file, which may hold a password: only the place is told.
    let file: Value = serde_saphyr::from_str(&text).map_err(|error| {
        let place = error.location().map(|at| format!(", line {}", at.line())).unwrap_or_default();
        Error::new(ErrorKind::Settings, format!("{}{place} is not YAML", path.display()))
            .with_cure("correct the file; `python3 -m yaml` or any YAML checker shows what is wrong")
    })?;
    match file.get(key) {
        Some(Value::Object(section)) => Ok(Some(section.clone())),
        // An empty file, or one of comments, says nothing; for secure.yaml that is in order.
        _ if file.is_null() => Ok(Some(Map::new())),
        _ => Err(Error::new(ErrorKind::Settings, format!("{} has no {key:?} section", path.display()))
            .with_cure(format!("put the clouds under a top-level {key:?} key"))),
    }
}

/// A cloud may take what it does not say itself from a profile its vendor published.
fn with_profile(cloud: Value, public: &Path) -> Result<Value, Error> {
    let Some(profile) = cloud.get("profile").or_else(|| cloud.get("cloud")).and_then(Value::as_str) else {
        return Ok(cloud);
    };
    let profiles = section(public, "public-clouds")?.unwrap_or_default();
    let Some(base) = profiles.get(profile) else {
        return Err(Error::new(ErrorKind::Settings, format!("{} has no profile {profile:?}", public.display()))
            .with_cure("add the profile under public-clouds, or write its options into clouds.yaml"));
    };
    let mut merged = base.clone();
    merge(&mut merged, cloud);
    Ok(merged)
}

/// Puts `over` on top of `base`, mapping by mapping.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

/// A region is a name, or an object with one.
fn region(value: &Value) -> Option<String> {
    text(value.get("name").unwrap_or(value))
}

/// A scalar as the text an option has; passwords may look like numbers to YAML.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Auth, Interface, Named};

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new(files: &[(&str, &str)]) -> Folder {
            let folder = tempfile::tempdir().unwrap();
            for (name, text) in files {
                std::fs::write(folder.path().join(name), text).unwrap();
            }
            Folder(folder)
        }

        fn read(&self, cloud: Option<&str>) -> Result<CloudSettings, Error> {
            CloudSettings::from_clouds_yaml(&self.0.path().join("clouds.yaml"), cloud)
        }
    }

    const CLOUDS: &str = "
clouds:
  one:
    auth:
      auth_url: https://one:5000/v3
      username: kuryr
      project_id: p1
    region_name: RegionOne
    interface: internal
    cacert: /etc/one.pem
  two:
    profile: vendor
    auth_type: v3applicationcredential
    auth:
      application_credential_id: ac
      application_credential_secret: 12345
    regions: [{name: North}, South]
    verify: false
";

    const PUBLIC: &str = "
public-clouds:
  vendor:
    auth:
      auth_url: https://vendor
";

    #[test]
    fn secure_yaml_adds_the_password() {
        let folder = Folder::new(&[
            ("clouds.yaml", CLOUDS),
            ("secure.yaml", "clouds: {one: {auth: {password: hidden}}, unheard_of: {auth: {password: x}}}"),
        ]);
        let settings = folder.read(Some("one")).unwrap();
        let Auth::Password { user: Named::Name { name, .. }, password, .. } = &settings.auth else {
            panic!("{settings:?}")
        };
        assert_eq!((name.as_str(), password.expose()), ("kuryr", "hidden"));
        assert_eq!(settings.region.as_deref(), Some("RegionOne"));
        assert_eq!(settings.interface, Interface::Internal);
        assert_eq!(settings.cafile.as_deref(), Some(Path::new("/etc/one.pem")));
    }

    #[test]
    fn a_profile_fills_in_and_numbers_are_secrets_too() {
        let folder = Folder::new(&[("clouds.yaml", CLOUDS), ("clouds-public.yaml", PUBLIC)]);
        let settings = folder.read(Some("two")).unwrap();
        assert_eq!(settings.auth_url, "https://vendor");
        let Auth::ApplicationCredential { secret, .. } = &settings.auth else { panic!("{settings:?}") };
        assert_eq!(secret.expose(), "12345");
        assert_eq!(settings.region.as_deref(), Some("North"));
        assert!(settings.insecure);
    }

    #[test]
    fn what_is_missing_is_said_with_the_names_there_are() {
        let folder = Folder::new(&[("clouds.yaml", CLOUDS)]);
        let refused = |cloud| folder.read(cloud).unwrap_err().to_string();
        assert!(refused(Some("three")).ends_with("set OS_CLOUD to one of one, two"));
        assert!(refused(None).ends_with("set OS_CLOUD to one of one, two"));
        assert!(refused(Some("two")).contains("has no profile \"vendor\""));
        assert!(refused(Some("one")).contains("password is not set"));
    }

    #[test]
    fn files_without_clouds_are_told_and_an_empty_secure_yaml_is_none() {
        for text in ["clouds: {}", "", "# nothing yet"] {
            let folder = Folder::new(&[("clouds.yaml", text)]);
            for cloud in [None, Some("one")] {
                let error = folder.read(cloud).unwrap_err().to_string();
                assert!(
                    error.contains("has no clouds in it") && error.contains("put one under clouds"),
                    "{text}: {error}"
                );
            }
        }
        let password = CLOUDS.replace("username: kuryr", "username: kuryr\n      password: x");
        let folder = Folder::new(&[("clouds.yaml", &password), ("secure.yaml", "# later\n")]);
        assert!(folder.read(Some("one")).is_ok());
    }

    #[test]
    fn an_error_in_the_file_does_not_quote_it() {
        let folder = Folder::new(&[("clouds.yaml", "clouds:\n  one:\n    auth: {password: hidden\n")]);
        let error = folder.read(None).unwrap_err();
        assert!(error.to_string().contains("is not YAML"), "{error}");
        assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
    }

    #[test]
    fn the_environment_is_read_when_no_cloud_is_named() {
        let variables = [
            ("OS_AUTH_URL", "http://cloud:5000"),
            ("OS_USERNAME", "me"),
            ("OS_PASSWORD", "x"),
            ("OS_PROJECT_NAME", "p"),
            ("OS_CACERT", "/ca.pem"),
            ("OS_CLOUD", ""),
        ];
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned());
        let settings = CloudSettings::from_variables(&find).unwrap();
        assert_eq!(settings.auth_url, "http://cloud:5000");
        assert_eq!(settings.cafile, Some("/ca.pem".into()));
    }

    #[test]
    fn os_cloud_and_the_file_it_is_in() {
        let folder = Folder::new(&[("my.yaml", CLOUDS), ("clouds-public.yaml", PUBLIC)]);
        let file = folder.0.path().join("my.yaml").display().to_string();
        let find = |name: &str| match name {
            "OS_CLOUD" => Some("two".to_owned()),
            "OS_CLIENT_CONFIG_FILE" => Some(file.clone()),
            "OS_AUTH_URL" => Some("http://ignored".to_owned()),
            _ => None,
        };
        assert_eq!(CloudSettings::from_variables(&find).unwrap().auth_url, "https://vendor");
    }
}
