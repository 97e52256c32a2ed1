//! Lists, read page by page.

use serde_json::{Map, Value};

use super::error::AnswerFault;
use super::{Answer, Client, ClientError, Request};

/// A list, read page by page.
#[derive(Debug)]
pub struct Pages<'a> {
    client: &'a Client,
    request: Request,
    place: Place,
}

/// How far a list was read.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    cursor: Option<String>,
    /// How many items the last page had.
    seen: usize,
    ended: bool,
}

impl<'a> Pages<'a> {
    pub(super) fn new(client: &'a Client, request: Request) -> Self {
        Self { client, request, place: Place::default() }
    }

    /// The items of the next page; nothing after the last.
    ///
    /// # Errors
    /// As [`Client::send`]. Asking again asks for the same page.
    pub async fn next(&mut self) -> Result<Option<Vec<Value>>, ClientError> {
        Ok(self.next_page().await?.map(|(items, _)| items))
    }

    /// As [`next`](Self::next), together with the page without its items and cursor.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn next_page(&mut self) -> Result<Option<(Vec<Value>, Value)>, ClientError> {
        Ok(self.turn_over().await?.map(|(items, page, _)| (items, page)))
    }

    pub(super) async fn turn_over(
        &mut self,
    ) -> Result<Option<(Vec<Value>, Value, Answer)>, ClientError> {
        if self.place.ended {
            return Ok(None);
        }
        let (items, mut page, answer) = self.read().await?;
        let before = self.place();
        self.turn(&mut page, items.len());
        if !self.place.ended && self.place.cursor == before.cursor {
            self.go_back_to(before);
            return Err(answer.unexpected(AnswerFault::SamePage));
        }
        Ok(Some((items, page, answer)))
    }

    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    pub(super) fn go_back_to(&mut self, place: Place) {
        self.place = place;
    }

    /// After the end, the items added since; for lists that only grow at their end.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn added(&mut self) -> Result<Vec<Value>, ClientError> {
        let (mut items, mut page, _) = self.read().await?;
        let seen = if self.place.ended { self.place.seen.min(items.len()) } else { 0 };
        self.turn(&mut page, items.len());
        items.drain(..seen);
        Ok(items)
    }

    /// A page with these items instead of its own.
    #[must_use]
    pub fn filled(mut page: Value, items: Vec<Value>) -> Value {
        if let Some(list) = list_in(&mut page) {
            list.insert("items".to_owned(), items.into());
        }
        page
    }

    async fn read(&self) -> Result<(Vec<Value>, Value, Answer), ClientError> {
        let mut request = self.request.clone();
        if let Some(cursor) = &self.place.cursor {
            request = request.query("cursor", cursor);
        }
        let answer = self.client.send(request).await?;
        let mut page = answer.json()?;
        match list_in(&mut page).and_then(|list| list.get_mut("items")).map(Value::take) {
            Some(Value::Array(items)) => Ok((items, page, answer)),
            _ => Err(answer.unexpected(AnswerFault::NoItems)),
        }
    }

    fn turn(&mut self, page: &mut Value, seen: usize) {
        match list_in(page).and_then(|list| list.remove("next")) {
            Some(Value::String(next)) => {
                self.place.cursor = Some(next);
                self.place.ended = false;
            }
            // The last page's cursor stays: later items are added to that page.
            _ => self.place.ended = true,
        }
        self.place.seen = seen;
    }
}

/// The object of an answer that has the items: the answer itself, or one of its fields.
fn list_in(answer: &mut Value) -> Option<&mut Map<String, Value>> {
    let Value::Object(all) = answer else { return None };
    if all.contains_key("items") {
        return Some(all);
    }
    let mut fields = all.values_mut().filter_map(Value::as_object_mut);
    fields.find(|field| field.contains_key("items"))
}
