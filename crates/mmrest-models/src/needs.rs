//! What a model asks of data and batches: which states of the text, which frames, how many segments.

/// What a model asks of data and batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// What a batch carries of the text.
    pub text: TextNeed,
    /// What a frame of vision and audio belongs to.
    pub frames: FrameNeed,
    /// The fewest segments of a training batch. A smaller last batch joins the one before.
    pub smallest_batch: usize,
    /// What becomes of a modality that is not in use.
    pub absent: AbsentNeed,
    /// How many further sentences about each segment the model reads, where the data have them: frozen states of the
    /// run's own text encoder ([`Batch::sentences`](crate::Batch)). Without them in the data `Batch::sentences` is empty.
    pub sentences: usize,
    /// The longest sequences that the model reads: what lies beyond is cut off, which the run reports.
    pub longest: Longest,
    /// The setting, if any, by which evaluation goes by what the training steps computed, so that these have to have all
    /// modalities and the weights of evaluation.
    pub plain_steps: Option<&'static str>,
}

impl Default for Needs {
    fn default() -> Self {
        Self {
            text: TextNeed::FirstToken,
            frames: FrameNeed::Own,
            smallest_batch: 1,
            absent: AbsentNeed::Omitted,
            sentences: 0,
            longest: Longest::default(),
            plain_steps: None,
        }
    }
}

/// The longest sequences that a model reads; none where it reads any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Longest {
    /// Tokens of a text.
    pub text: Option<usize>,
    /// Frames of vision.
    pub vision: Option<usize>,
    /// Frames of audio.
    pub audio: Option<usize>,
}

/// What a batch carries of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextNeed {
    /// Enough for what stands for the text ([`TextBatch::pooled`](crate::TextBatch)); for a frozen encoder that alone.
    FirstToken,
    /// Enough for the last states of all tokens ([`TextBatch::all_tokens`](crate::TextBatch)); for a frozen encoder those
    /// states.
    AllTokens,
    /// Token ids, whichever layers are trained: the model runs the layers itself. Layers that are not trained have no
    /// gradients.
    TokenIds,
}

/// What a frame of vision and audio belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameNeed {
    /// Its own moment: sequences have lengths of their own.
    Own,
    /// A token: as many frames as the text has tokens, that of a word for each of its pieces, zero frames for `[CLS]` and
    /// `[SEP]`. Data without word alignment are refused.
    PerToken,
}

/// What becomes of a modality that is not in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbsentNeed {
    /// The model leaves it out.
    Omitted,
    /// The model takes one zero frame of one feature for it, as [`Batch::frames`](crate::Batch::frames),
    /// [`Batch::pooled_text`](crate::Batch::pooled_text) and [`Batch::all_tokens`](crate::Batch::all_tokens) give it; the
    /// run says so.
    ZeroFrame,
}
