//! [`Tensors`] where kernels are put in line (burn's fusion): a list is described, taken and given tensor by tensor.

use std::vec::IntoIter;

use burn::backend::Backend;
use burn::backend::fusion::custom::{
    ExtensionMetadata, Float, FusionValueAdapter, HandleContainer, OutputTensor, TensorId,
    TensorIr, TensorSpec,
};
use burn::backend::fusion::{ExecutionError, Fusion, FusionBackend, FusionRuntime, FusionTensor};

use super::Tensors;

impl<B: Backend> ExtensionMetadata for Tensors<B> {
    type Metadata = Vec<TensorSpec>;
    type Input = Vec<TensorIr>;
    type Output = Vec<OutputTensor>;
}

type Handles<B> =
    HandleContainer<<<B as FusionBackend>::FusionRuntime as FusionRuntime>::FusionHandle>;

impl<B: FusionBackend> FusionValueAdapter<B> for Tensors<B> {
    type Metadata = Vec<TensorSpec>;
    type Input = Vec<TensorIr>;
    type Output = Vec<OutputTensor>;
    type Inner = Self;
    type Fused = Tensors<Fusion<B>>;

    fn to_metadata(value: &Self::Fused) -> Vec<TensorSpec> {
        let tensors = value.0.iter();
        tensors
            .map(<Float as FusionValueAdapter<B>>::to_metadata)
            .collect()
    }

    fn visit_fused_tensors(
        value: &Self::Fused,
        visit: &mut impl FnMut(&FusionTensor<B::FusionRuntime>),
    ) {
        value.0.iter().for_each(visit);
    }

    fn tensor_count(meta: &Vec<TensorSpec>) -> usize {
        meta.len()
    }

    fn append_input_ir(value: Self::Fused, inputs: &mut Vec<TensorIr>) -> Vec<TensorIr> {
        let tensors = value.0.into_iter();
        tensors
            .map(|tensor| <Float as FusionValueAdapter<B>>::append_input_ir(tensor, inputs))
            .collect()
    }

    fn resolve_inputs(input: &Vec<TensorIr>, handles: &mut Handles<B>) -> Self {
        let tensors = input.iter();
        Self(
            tensors
                .map(|tensor| <Float as FusionValueAdapter<B>>::resolve_inputs(tensor, handles))
                .collect(),
        )
    }

    fn append_output_ir(
        meta: &Vec<TensorSpec>,
        out: &mut Vec<TensorIr>,
        create: &mut impl FnMut() -> TensorId,
    ) -> Vec<OutputTensor> {
        let specs = meta.iter();
        specs
            .map(|spec| <Float as FusionValueAdapter<B>>::append_output_ir(spec, out, create))
            .collect()
    }

    fn validate_outputs(
        value: &Self,
        output: &Vec<OutputTensor>,
        device: Option<&B::Device>,
    ) -> Result<(), ExecutionError> {
        if value.0.len() != output.len() {
            return Err(ExecutionError::generic(
                "an operation gave another number of tensors than it was to",
            ));
        }
        let mut pairs = value.0.iter().zip(output);
        pairs.try_for_each(|(tensor, output)| {
            <Float as FusionValueAdapter<B>>::validate_outputs(tensor, output, device)
        })
    }

    fn register_output_handles(value: Self, output: &Vec<OutputTensor>, handles: &mut Handles<B>) {
        for (tensor, output) in value.0.into_iter().zip(output) {
            <Float as FusionValueAdapter<B>>::register_output_handles(tensor, output, handles);
        }
    }

    fn build_fused_output(
        meta: &Vec<TensorSpec>,
        tensors: &mut IntoIter<FusionTensor<B::FusionRuntime>>,
    ) -> Self::Fused {
        let specs = meta.iter();
        Tensors(
            specs
                .map(|spec| <Float as FusionValueAdapter<B>>::build_fused_output(spec, tensors))
                .collect(),
        )
    }
}
