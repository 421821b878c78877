//! Attention within each sequence of a packed batch, or from one to its counterpart in another, without padding, as one
//! operation on the CPU; `gpu.rs` has it on a GPU.
//!
//! Per head, with P = softmax(Q K^T / sqrt(d)), D = dropout(P), O = D V and a dash for the gradient of the loss:
//!
//! ```text
//! V- = D^T O-      P- = dropout'(O- V^T)      S- = P (P- - sum_k P- P)
//! Q- = S- K / sqrt(d)                         K- = S-^T Q / sqrt(d)
//! ```
//!
//! A relative bias is added to the scores of query q and key k: B[bucket(k - q)]; its gradient is the sum of their S-.

pub(crate) mod gpu;

use std::ops::Range;

use burn::backend::DispatchTensor;
use burn::prelude::*;
use faer::{Accum, MatRef};
use mmrest_kernels::activation::exp;
use mmrest_kernels::dropout::{Mask, drop_values};
use mmrest_kernels::kernel;
use mmrest_kernels::operation::{Input, Tape, apply, input};
use mmrest_kernels::product::{matrix, matrix_mut, product_here};
use mmrest_kernels::scratch::{Scratch, parts};
use mmrest_kernels::vector::vectorised;
use rayon::prelude::*;

/// What is added to scores by the distance of key and query.
#[derive(Clone, Debug)]
pub(crate) struct Bias {
    /// `[buckets, heads]`.
    pub(crate) table: Tensor<2>,
    /// The bucket of every distance from `1 - longest` to `longest - 1`.
    pub(crate) buckets: Vec<usize>,
}

/// `softmax(Q K^T / sqrt(d) + bias) V` of every head, for every token: `[tokens, hidden]`.
///
/// `all: [tokens, 3 * hidden]` has queries, keys and values side by side; sequence i has the tokens
/// `offsets[i]..offsets[i + 1]`.
pub(crate) fn attend(
    all: Tensor<2>,
    offsets: &[usize],
    heads: usize,
    sight: Sight,
    mask: Option<Mask>,
    bias: Option<&Bias>,
) -> Tensor<2> {
    let [tokens, width] = all.dims();
    let shape = [tokens, width / 3];
    let spans = spans(offsets, offsets, heads);
    match bias {
        None => run([input(all)], shape, spans, heads, sight, mask, None),
        Some(bias) => {
            let inputs = [input(all), input(bias.table.clone())];
            run(inputs, shape, spans, heads, sight, mask, Some(bias))
        }
    }
}

/// What the rows of `queries: [asked, hidden]`, sequence i being `asked[i]..asked[i + 1]`, make of the `keys_values:
/// [tokens, 2 * hidden]` of the sequence of the same number: `[asked, hidden]`.
pub(crate) fn attend_across(
    queries: Tensor<2>,
    keys_values: Tensor<2>,
    [asked, offsets]: [&[usize]; 2],
    heads: usize,
    sight: Sight,
    mask: Option<Mask>,
) -> Tensor<2> {
    let shape = queries.dims();
    let spans = spans(asked, offsets, heads);
    let inputs = [input(queries), input(keys_values)];
    run(inputs, shape, spans, heads, sight, mask, None)
}

/// Which tokens a query sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// All of its sequence.
    All,
    /// Query i those up to i, or as many more as queries and tokens differ in number.
    Causal,
}

impl Sight {
    /// How many of `tokens` tokens, from the first, the first of `asked` queries sees; each further query one more.
    pub(crate) fn first(self, asked: usize, tokens: usize) -> usize {
        match self {
            Self::All => tokens,
            Self::Causal => asked.abs_diff(tokens) + 1,
        }
    }
}

/// What [`attend`] gives the first token of each sequence, `[batch, hidden]`, from those tokens' `queries` and the
/// `keys_values: [tokens, 2 * hidden]` of all.
pub(crate) fn attend_first(
    queries: Tensor<2>,
    keys_values: Tensor<2>,
    offsets: &[usize],
    heads: usize,
    mask: Option<Mask>,
    bias: Option<&Bias>,
) -> Tensor<2> {
    let shape = queries.dims();
    let asked: Vec<usize> = (0..offsets.len()).collect();
    let spans = spans(&asked, offsets, heads);
    let (queries, keys_values, sight) = (input(queries), input(keys_values), Sight::All);
    match bias {
        None => run(
            [queries, keys_values],
            shape,
            spans,
            heads,
            sight,
            mask,
            None,
        ),
        Some(bias) => {
            let inputs = [queries, keys_values, input(bias.table.clone())];
            run(inputs, shape, spans, heads, sight, mask, Some(bias))
        }
    }
}

fn run<const N: usize>(
    inputs: [DispatchTensor; N],
    [asked, hidden]: [usize; 2],
    spans: Vec<Span>,
    heads: usize,
    sight: Sight,
    mask: Option<Mask>,
    bias: Option<&Bias>,
) -> Tensor<2> {
    let size = spans.last().map_or(0, |span| span.scores.end);
    let buckets = bias.map(|bias| bias.buckets.clone());
    apply(inputs, |inputs, record| {
        let mut run = Attention {
            inputs,
            spans,
            heads,
            hidden,
            sight,
            mask,
            buckets,
            chances: Scratch::new(size),
        };
        (run.forward(asked), [asked, hidden], record.then_some(run))
    })
}

/// The rows of a sequence.
#[derive(Clone, Debug)]
struct Span {
    queries: Range<usize>,
    tokens: Range<usize>,
    /// Its part of the scores: `[heads, queries, tokens]`.
    scores: Range<usize>,
}

fn spans(asked: &[usize], offsets: &[usize], heads: usize) -> Vec<Span> {
    let mut start = 0;
    let span = |(asked, bounds): (&[usize], &[usize])| {
        let tokens = bounds[0]..bounds[1];
        let queries = asked[0]..asked[1];
        let scores = start..start + heads * queries.len() * tokens.len();
        start = scores.end;
        Span {
            queries,
            tokens,
            scores,
        }
    };
    let sequences = asked.windows(2).zip(offsets.windows(2));
    sequences.map(span).collect()
}

/// One input has queries, keys and values; where there are two, the first has the queries. The table of a bias comes last.
#[derive(Clone, Debug)]
struct Attention<const N: usize> {
    inputs: [Input; N],
    spans: Vec<Span>,
    heads: usize,
    hidden: usize,
    sight: Sight,
    mask: Option<Mask>,
    /// The bucket of every distance, where there is a bias.
    buckets: Option<Vec<usize>>,
    /// The probabilities before dropout.
    chances: Scratch,
}

/// Queries, keys and values of one head of one sequence.
struct Head<'a> {
    queries: MatRef<'a, f32>,
    keys: MatRef<'a, f32>,
    values: MatRef<'a, f32>,
}

impl<const N: usize> Attention<N> {
    fn size(&self) -> usize {
        self.hidden / self.heads
    }

    fn scale(&self) -> f32 {
        1.0 / (self.size() as f32).sqrt()
    }

    /// How many inputs have queries, keys and values.
    fn sources(&self) -> usize {
        N - usize::from(self.buckets.is_some())
    }

    /// Scores before the product is added: the bias of one head, `[asked, tokens]`.
    fn begin_scores(&self, scores: &mut [f32], head: usize, tokens: usize) -> Accum {
        let Some(buckets) = &self.buckets else {
            return Accum::Replace;
        };
        let table = self.inputs[N - 1].values();
        let reach = buckets.len() / 2;
        for (query, row) in scores.chunks_exact_mut(tokens).enumerate() {
            let of_keys = &buckets[reach - query..];
            for (score, bucket) in row.iter_mut().zip(of_keys) {
                *score = table[bucket * self.heads + head];
            }
        }
        Accum::Add
    }

    /// Width of the rows with keys and values, and the column where the keys start.
    fn known(&self) -> (usize, usize) {
        match self.sources() {
            1 => (3 * self.hidden, self.hidden),
            _ => (2 * self.hidden, 0),
        }
    }

    /// Width of the rows with queries.
    fn asking(&self) -> usize {
        match self.sources() {
            1 => 3 * self.hidden,
            _ => self.hidden,
        }
    }

    fn head(&self, span: &Span, head: usize) -> Head<'_> {
        let (hidden, size) = (self.hidden, self.size());
        let (width, keys) = self.known();
        let known = matrix_rows(
            self.inputs[self.sources() - 1].values(),
            &span.tokens,
            width,
        );
        let asking = matrix_rows(self.inputs[0].values(), &span.queries, self.asking());
        Head {
            queries: asking.subcols(head * size, size),
            keys: known.subcols(keys + head * size, size),
            values: known.subcols(keys + hidden + head * size, size),
        }
    }

    fn forward(&mut self, asked: usize) -> Vec<f32> {
        let (hidden, heads, size) = (self.hidden, self.heads, self.size());
        let mut out = vec![0.0; asked * hidden];
        let mut chances = std::mem::replace(&mut self.chances, Scratch::new(0));
        let this = &*self;
        let rows = parts(
            &mut out,
            this.spans.iter().map(|span| span.queries.len() * hidden),
        );
        let scores = parts(
            &mut chances,
            this.spans.iter().map(|span| span.scores.len()),
        );
        this.spans
            .par_iter()
            .zip(rows)
            .zip(scores)
            .for_each(|((span, out), scores)| {
                let (asked, tokens) = (span.queries.len(), span.tokens.len());
                let mut dropped = Vec::new();
                for head in 0..heads {
                    let at = head * asked * tokens..(head + 1) * asked * tokens;
                    let place = span.scores.start + at.start;
                    let chances = &mut scores[at];
                    let Head {
                        queries,
                        keys,
                        values,
                    } = this.head(span, head);
                    let begun = this.begin_scores(chances, head, tokens);
                    product_here(
                        matrix_mut(chances, asked, tokens),
                        begun,
                        this.scale(),
                        queries,
                        keys.transpose(),
                    );
                    let seen = this.sight.first(asked, tokens);
                    vectorised(softmax, (&mut *chances, tokens, seen));
                    let kept = kept(chances, this.mask, place, &mut dropped);
                    product_here(
                        matrix_mut(out, asked, hidden).subcols_mut(head * size, size),
                        Accum::Replace,
                        1.0,
                        matrix(kept, asked, tokens),
                        values,
                    );
                }
            });
        self.chances = chances;
        out
    }

    /// Gradients of one sequence's rows of every input, from that of its rows of the output; and its share of the bias's,
    /// where there is one.
    fn backward_span(
        &self,
        span: &Span,
        gradient: &[f32],
        mut outs: Vec<&mut [f32]>,
    ) -> Option<Vec<f32>> {
        let last = self.sources() - 1;
        let mut of_bias = self
            .buckets
            .is_some()
            .then(|| vec![0.0; self.inputs[N - 1].values().len()]);
        let (hidden, size) = (self.hidden, self.size());
        let (asked, tokens) = (span.queries.len(), span.tokens.len());
        let (width, first_key) = self.known();
        let gradient = matrix(gradient, asked, hidden);
        let mut slopes = vec![0.0; asked * tokens];
        let mut dropped = Vec::new();
        for head in 0..self.heads {
            let columns = head * size;
            let place = span.scores.start + head * asked * tokens;
            let chances = &self.chances[place..place + asked * tokens];
            let Head {
                queries,
                keys,
                values,
            } = self.head(span, head);
            let gradient = gradient.subcols(columns, size);
            let kept = kept(chances, self.mask, place, &mut dropped);
            product_here(
                matrix_mut(outs[last], tokens, width)
                    .subcols_mut(first_key + hidden + columns, size),
                Accum::Replace,
                1.0,
                matrix(kept, asked, tokens).transpose(),
                gradient,
            );
            product_here(
                matrix_mut(&mut slopes, asked, tokens),
                Accum::Replace,
                1.0,
                gradient,
                values.transpose(),
            );
            vectorised(
                through_softmax,
                (&mut slopes[..], chances, tokens, self.mask, place),
            );
            if let (Some(sums), Some(buckets)) = (&mut of_bias, &self.buckets) {
                let reach = buckets.len() / 2;
                for (query, row) in slopes.chunks_exact(tokens).enumerate() {
                    for (slope, bucket) in row.iter().zip(&buckets[reach - query..]) {
                        sums[bucket * self.heads + head] += slope;
                    }
                }
            }
            let slopes = matrix(&slopes, asked, tokens);
            product_here(
                matrix_mut(outs[0], asked, self.asking()).subcols_mut(columns, size),
                Accum::Replace,
                self.scale(),
                slopes,
                keys,
            );
            product_here(
                matrix_mut(outs[last], tokens, width).subcols_mut(first_key + columns, size),
                Accum::Replace,
                self.scale(),
                slopes.transpose(),
                queries,
            );
        }
        of_bias
    }
}

/// Some rows of a row-major matrix.
fn matrix_rows<'a>(values: &'a [f32], rows: &Range<usize>, width: usize) -> MatRef<'a, f32> {
    matrix(
        &values[rows.start * width..rows.end * width],
        rows.len(),
        width,
    )
}

impl<const N: usize> Tape<N> for Attention<N> {
    fn backward(self, gradient: &[f32], _: [bool; N]) -> [Option<Vec<f32>>; N] {
        let (hidden, sources) = (self.hidden, self.sources());
        let width = |index: usize| match index {
            0 => self.asking(),
            _ => self.known().0,
        };
        let rows = |index: usize, span: &Span| match index {
            0 => span.queries.clone(),
            _ => span.tokens.clone(),
        };
        let mut outs: [Vec<f32>; N] = std::array::from_fn(|index| {
            if index >= sources {
                return vec![0.0; self.inputs[index].values().len()];
            }
            let end = self.spans.last().map_or(0, |span| rows(index, span).end);
            vec![0.0; end * width(index)]
        });
        let mut of_spans: Vec<Vec<&mut [f32]>> = self.spans.iter().map(|_| Vec::new()).collect();
        for (index, out) in outs.iter_mut().enumerate().take(sources) {
            let lengths = self
                .spans
                .iter()
                .map(|span| rows(index, span).len() * width(index));
            for (of_span, part) in of_spans.iter_mut().zip(parts(out, lengths)) {
                of_span.push(part);
            }
        }
        let of_bias: Vec<Option<Vec<f32>>> = self
            .spans
            .par_iter()
            .zip(of_spans)
            .map(|(span, outs)| {
                let rows = span.queries.start * hidden..span.queries.end * hidden;
                self.backward_span(span, &gradient[rows], outs)
            })
            .collect();
        // In the order of the sequences, so that sums are the same on any number of threads.
        for share in of_bias.into_iter().flatten() {
            let sums = outs[N - 1].iter_mut().zip(share);
            sums.for_each(|(sum, share)| *sum += share);
        }
        outs.map(Some)
    }
}

kernel! {
    /// Probabilities of every row of scores; the first row sees `seen` of the `width` tokens, each further one more.
    fn softmax(
        (scores, width, seen): (&mut [f32], usize, usize)
    ) {
        for (seen, row) in (seen..).zip(scores.chunks_exact_mut(width)) {
            let (row, unseen) = row.split_at_mut(seen.min(width));
            unseen.fill(0.0);
            let most = row.iter().fold(f32::NEG_INFINITY, |most, score| most.max(*score));
            for score in row.iter_mut() {
                *score = exp(*score - most);
            }
            let share = 1.0 / row.iter().sum::<f32>();
            for score in row.iter_mut() {
                *score *= share;
            }
        }
    }
}

/// Probabilities after dropout; they themselves without.
fn kept<'a>(
    chances: &'a [f32],
    mask: Option<Mask>,
    place: usize,
    dropped: &'a mut Vec<f32>,
) -> &'a [f32] {
    let Some(mask) = mask else { return chances };
    dropped.resize(chances.len(), 0.0);
    vectorised(drop_values, (&mut dropped[..], chances, mask, place));
    dropped
}

kernel! {
    /// From the gradients of the probabilities after dropout to those of the scores.
    fn through_softmax(
        (slopes, chances, width, mask, place): (&mut [f32], &[f32], usize, Option<Mask>, usize)
    ) {
        if let Some(mask) = mask {
            for (slope, place) in slopes.iter_mut().zip(place as u32..) {
                *slope *= mask.factor(place);
            }
        }
        for (slopes, chances) in slopes.chunks_exact_mut(width).zip(chances.chunks_exact(width)) {
            let along: f32 = slopes.iter().zip(chances).map(|(slope, p)| slope * p).sum();
            for (slope, chance) in slopes.iter_mut().zip(chances) {
                *slope = chance * (*slope - along);
            }
        }
    }
}
