use super::*;

const MOST: RequestsMax = RequestsMax { in_all: 3, per_address: 2 };

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn hosts(occupancy: &Occupancy) -> usize {
    occupancy.0.hosts.lock().len()
}

#[test]
fn an_address_has_as_many_connections_as_it_may_and_not_one_more() {
    let occupancy = Occupancy::default();
    let first = occupancy.open(address("192.0.2.1"), 2);
    let second = occupancy.open(address("::ffff:192.0.2.1"), 2);
    assert!(first.is_some() && second.is_some());
    assert!(occupancy.open(address("192.0.2.1"), 2).is_none());
    assert!(occupancy.open(address("192.0.2.2"), 2).is_some());
    drop(first);
    assert!(occupancy.open(address("192.0.2.1"), 2).is_some());
}

#[test]
fn the_hosts_of_one_ipv6_network_are_one() {
    let occupancy = Occupancy::default();
    let _first = occupancy.open(address("2001:db8::1"), 1).unwrap();
    assert!(occupancy.open(address("2001:db8::ffff:1"), 1).is_none());
    assert!(occupancy.open(address("2001:db8:0:1::1"), 1).is_some());
}

#[test]
fn a_listener_and_an_address_have_as_many_requests_as_they_may_and_not_one_more() {
    let occupancy = Occupancy::default();
    let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|it| occupancy.open(address(it), 9).unwrap());
    let [guest, neighbour] = [&one, &other].map(|connection| connection.guest(MOST));
    let again = one.guest(MOST);
    let first = guest.take_place().ok().unwrap();
    let _second = again.take_place().ok().unwrap();
    assert_eq!(guest.take_place().err(), Some(Crowded::Address));
    let third = neighbour.take_place().ok().unwrap();
    assert_eq!(neighbour.take_place().err(), Some(Crowded::Listener));
    drop(first);
    assert!(neighbour.take_place().is_ok(), "what was refused took no place");
    drop(third);
    assert!(again.take_place().is_ok());
}

#[test]
fn an_address_without_connections_is_forgotten_after_its_last_request() {
    let occupancy = Occupancy::default();
    let connection = occupancy.open(address("192.0.2.1"), 9).unwrap();
    let guest = connection.guest(MOST);
    let places = [guest.take_place().ok().unwrap(), guest.take_place().ok().unwrap()];
    drop(connection);
    assert_eq!(hosts(&occupancy), 1);
    let back = occupancy.open(address("192.0.2.1"), 9).unwrap();
    assert!(back.guest(MOST).take_place().is_err(), "hanging up frees no place");
    drop(back);
    drop(places);
    assert_eq!(hosts(&occupancy), 0);
}

#[test]
fn counts_are_right_after_many_threads() {
    let occupancy = Occupancy::default();
    let most = RequestsMax { in_all: 5, per_address: 4 };
    std::thread::scope(|scope| {
        for number in 0..8 {
            let occupancy = occupancy.clone();
            scope.spawn(move || {
                for _ in 0..2_000 {
                    let host = address(&format!("192.0.2.{}", number % 2));
                    let connection = occupancy.open(host, 9).unwrap();
                    let place = connection.guest(most).take_place();
                    drop(connection);
                    drop(place);
                }
            });
        }
    });
    assert_eq!(hosts(&occupancy), 0);
    assert_eq!(occupancy.0.requests.load(Ordering::SeqCst), 0);
}
