//! Does a request that can't succeed leave those of its batch alone?

use crate::shared::postgres;
use crate::support::told::*;
use nebula_alloc::Error;
use nebula_alloc::store::Subject;

fn insert(id: u8) -> Told {
    Told::new(id, move |tx| tx.queue(INSERT, &[i64::from(id).into(), 0.into()]).map(|()| 0))
}

#[test]
fn a_reference_to_nothing_fails_alone() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut store = with_table(&url);
    let table = "CREATE TABLE part (of BIGINT NOT NULL REFERENCES mine (id))";
    store.transaction(|tx| tx.script(table)).unwrap();
    let writer = writer(store);
    const PART: &str = "INSERT INTO part (of) VALUES ($1)";
    let mut steps: Vec<_> = (10..18).map(insert).collect();
    steps.insert(3, Told::new(3, |tx| tx.queue(PART, &[999.into()]).map(|()| 0)));
    steps.insert(6, Told::new(6, |tx| tx.execute(PART, &[999.into()]).map(|_| 0)));
    let mut answers = batch(&writer, steps);
    for refused in [answers.remove(6), answers.remove(3)] {
        let alone = matches!(&refused, Err(Error::Database(fault)) if fault.code.as_deref() == Some("23503"));
        assert!(alone, "{refused:?}");
    }
    assert_eq!(answers, vec![Ok(0); 8]);
    assert_eq!(rows(&url), 12);
}

#[test]
fn a_row_that_somebody_keeps_is_in_the_way_of_one_request_only() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let mut keeper = with_table(&url);
    let writer = writer(open(&url));
    let update = |tx: &mut dyn nebula_alloc::store::Transaction| {
        tx.queue_one(UPDATE, &[7.into(), 3.into()]).map(|()| 0)
    };
    let kept = keeper.transaction_about(&[Subject::Key(vec![99])], |tx| {
        tx.execute(UPDATE, &[1.into(), 3.into()])?;
        let mut steps: Vec<_> = (10..17).map(insert).collect();
        steps.insert(4, Told::new(4, update));
        let mut answers = batch(&writer, steps);
        let refused = answers.remove(4);
        assert!(matches!(refused, Err(Error::Contended { .. })), "{refused:?}");
        assert_eq!(answers, vec![Ok(0); 7]);
        Ok::<_, Error>(())
    });
    assert_eq!(kept, Ok(()));
    assert_eq!(writer.run(Told::new(4, update)), Ok(0));
    assert_eq!(rows(&url), 11);
}
