//! What expired, in the lists: the sweeper writes it, so that no list has it for long.

use cvm_core::device::{DeviceFilter, DeviceState};

use super::*;

async fn listed(world: &World, state: DeviceState) -> Vec<String> {
    let request = PageRequest { after: None, limit: 10 };
    let filter = DeviceFilter::State(state);
    let page = world.ports.catalogue.device_page_where(filter, &request).await.unwrap();
    page.items.iter().map(|device| device.serial_number.to_string()).collect()
}

#[tokio::test]
async fn what_expired_is_listed_as_registered_once_it_was_swept() {
    let profile = Profile { lifetime: Span(600), ..Profile::default() };
    let world = World::with(profile, "1000000/1m").await;
    for serial in ["SN-1", "SN-2", "SN-3"] {
        world.register(serial).await;
    }
    let unused = world.issued("SN-1", "K1").await;
    let used = world.issued("SN-2", "K2").await;
    world.confirm(used).await.unwrap();
    world.clock.set(NOW.plus(Span(600)));
    assert_eq!(world.provisioning.sweep().await.devices, 0, "the last second belongs to the life");
    world.clock.set(NOW.plus(Span(601)));
    assert_eq!(listed(&world, DeviceState::Issued).await, ["SN-1"]);
    assert_eq!(listed(&world, DeviceState::Active).await, ["SN-2"]);
    world.clock.trust(false);
    assert_eq!(world.provisioning.sweep().await.devices, 0, "by a wrong clock nothing expired");
    world.clock.trust(true);
    assert_eq!(world.provisioning.sweep().await.devices, 2);
    assert_eq!(listed(&world, DeviceState::Issued).await, Vec::<String>::new());
    assert_eq!(listed(&world, DeviceState::Active).await, Vec::<String>::new());
    assert_eq!(listed(&world, DeviceState::Registered).await, ["SN-1", "SN-2", "SN-3"]);
    for certificate in [unused, used] {
        assert_eq!(world.stored_state(certificate).await, CertificateState::Expired);
    }
    assert_eq!(world.provisioning.sweep().await.devices, 0);
}
