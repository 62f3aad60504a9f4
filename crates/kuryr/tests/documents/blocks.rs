//! Markdown, as far as it matters here: blocks of code and spans of code.

use std::path::Path;

/// A document.
pub(crate) struct Document {
    /// Its file's name.
    pub(crate) name: String,
    pub(crate) blocks: Vec<Block>,
    /// What stands between single backticks.
    pub(crate) code_spans: Vec<String>,
    /// Code that cannot be told to be commands or not.
    pub(crate) trouble: Vec<String>,
}

/// A fenced block.
#[derive(Debug)]
pub(crate) struct Block {
    /// Where it begins.
    pub(crate) line: usize,
    /// What stands behind the fence: the language, then how it is treated.
    pub(crate) info: String,
    pub(crate) text: String,
}

impl Block {
    /// Whether it has commands.
    pub(crate) fn is_shell(&self) -> bool {
        self.info.split_whitespace().next() == Some("sh")
    }
}

impl Document {
    pub(crate) fn read(path: &Path) -> Document {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Document::of(name, &text)
    }

    fn of(name: String, text: &str) -> Document {
        let mut document = Document { name, blocks: Vec::new(), code_spans: Vec::new(), trouble: Vec::new() };
        let mut open: Option<Block> = None;
        let mut after_blank = true;
        for (number, line) in text.lines().enumerate() {
            match &mut open {
                Some(block) if line.trim() == "```" => {
                    block.text.truncate(block.text.trim_end().len());
                    document.blocks.extend(open.take());
                }
                Some(block) => block.text += &format!("{line}\n"),
                None if line.starts_with("```") => {
                    let info = line.trim_start_matches('`').trim().to_owned();
                    open = Some(Block { line: number + 1, info, text: String::new() });
                }
                None => {
                    if after_blank && line.starts_with("    ") {
                        let what = "code that is only indented: fence it and say what it is, like ```sh";
                        document.trouble.push(format!("line {}: {what}", number + 1));
                    }
                    document.code_spans.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
                }
            }
            after_blank = line.trim().is_empty();
        }
        if let Some(block) = open {
            document.trouble.push(format!("line {}: the fence is never closed", block.line));
        }
        document
    }
}

#[test]
fn blocks_spans_and_what_is_neither() {
    let text = "a `b c` d `e`\n```sh installed\nx\n\ny\n```\n\n    z\n- i\n    j\n";
    let document = Document::of("d".to_owned(), text);
    assert_eq!(document.code_spans, ["b c", "e"]);
    let block = &document.blocks[0];
    assert_eq!((block.line, block.info.as_str(), block.text.as_str()), (2, "sh installed", "x\n\ny"));
    assert_eq!(document.trouble.len(), 1, "{:?}", document.trouble);
}
