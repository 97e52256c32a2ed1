//! What a page of Markdown has to be run.

use std::collections::BTreeSet;

#[derive(Debug)]
pub struct Page {
    pub blocks: Vec<Block>,
}

/// A block of shell.
#[derive(Debug)]
pub struct Block {
    /// Where it begins.
    pub line: usize,
    pub script: String,
    pub is_server: bool,
    /// Whether it is for a second machine, the laptop.
    pub is_on_laptop: bool,
    /// Whether it goes on running, as an agent does.
    pub is_agent: bool,
    /// Why it is not run.
    pub not_run: Option<String>,
    /// What it has to print.
    pub answer: Option<String>,
}

impl Page {
    pub fn read(text: &str) -> Result<Self, String> {
        let mut blocks: Vec<Block> = vec![];
        let mut said = None;
        let mut lines = (1..).zip(text.lines());
        while let Some((line, text)) = lines.next() {
            if let Some(comment) = text.strip_prefix("<!-- docs: ") {
                let comment = comment.strip_suffix(" -->").ok_or(format!("{line}: no end"))?;
                said = Some(comment.to_owned());
                continue;
            }
            let Some(language) = text.strip_prefix("```") else { continue };
            let inside = lines.by_ref().map(|(_, text)| text).take_while(|text| *text != "```");
            let inside: String = inside.map(|text| text.to_owned() + "\n").collect();
            match language {
                "sh" => blocks.push(Block::new(line, inside, said.take())?),
                "text" | "json" => {
                    let asked = blocks.last_mut().filter(|block| {
                        !block.is_server
                            && !block.is_agent
                            && block.not_run.is_none()
                            && block.answer.is_none()
                    });
                    asked.ok_or(format!("{line}: answers no block"))?.answer = Some(inside);
                }
                _ => {}
            }
            if let Some(comment) = said.take() {
                return Err(format!("{line}: {comment:?} is said of what is no shell"));
            }
        }
        Ok(Self { blocks })
    }
}

impl Page {
    /// Whether it needs a second machine, and Nebula on both.
    pub fn needs_machines(&self) -> bool {
        self.blocks.iter().any(|block| block.is_on_laptop || block.is_agent)
    }
}

impl Block {
    fn new(line: usize, script: String, said: Option<String>) -> Result<Self, String> {
        let (mut is_server, mut is_on_laptop, mut is_agent) = (false, false, false);
        let mut not_run = None;
        match said.as_deref().map(|said| (said, said.strip_prefix("not run, "))) {
            None => {}
            Some(("server", _)) => is_server = true,
            Some(("agent", _)) => is_agent = true,
            Some(("laptop", _)) => is_on_laptop = true,
            Some(("laptop agent", _)) => (is_on_laptop, is_agent) = (true, true),
            Some((_, Some(reason))) if !reason.trim().is_empty() => {
                not_run = Some(reason.to_owned());
            }
            Some((said, _)) => return Err(format!("{line}: {said:?} is not known")),
        }
        Ok(Self { line, script, is_server, is_on_laptop, is_agent, not_run, answer: None })
    }
}

/// What `#…` can name in a page, as GitHub does it.
pub fn headings(text: &str) -> BTreeSet<String> {
    let titles = text
        .lines()
        .filter_map(|line| Some(line.trim_start_matches('#')).filter(|rest| *rest != line));
    let letter = |letter: char| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ => letter.is_alphanumeric().then(|| letter.to_ascii_lowercase()),
    };
    titles.map(|title| title.trim().chars().filter_map(letter).collect()).collect()
}
