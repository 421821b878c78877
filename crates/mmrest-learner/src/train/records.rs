//! A checkpoint's records held against each other. burn takes the state of an optimiser as it comes, and panics where a
//! tensor has no parameter, or at the first step where its shape is not its parameter's.

use std::collections::HashMap;
use std::path::Path;

use burn::store::burn_pack::{Reader, Scalar, Tensor};

use crate::error::LearnerError;

/// How the name of the number ends that says how many dimensions a parameter's state has.
const RANK: &str = ".__rank";

/// Compares the optimiser's record with the model's, of which names and shapes alone are read.
///
/// # Errors
///
/// A record cannot be read, or does not belong to the other; the error names the file and the tensor.
pub(super) fn check(model: &Path, optimizer: &Path) -> Result<(), LearnerError> {
    let (parameters, _) = read(model)?;
    let (states, scalars) = read(optimizer)?;
    let by_id: HashMap<u64, &Tensor> = parameters
        .iter()
        .filter_map(|tensor| Some((tensor.param_id?, tensor)))
        .collect();
    let wrong = |message: String| Err(LearnerError::format(optimizer, message));
    for state in &states {
        let name = &state.name;
        let parameter = |id| Some((id, by_id.get(&id)?));
        let Some((id, parameter)) = state.param_id.and_then(parameter) else {
            return wrong(format!("`{name}` is of no parameter of the model"));
        };
        // burn finds a state by its name, and the name by the parameter's number.
        if !name.starts_with(&format!("{id}.")) {
            return wrong(format!(
                "`{name}` does not have the number of its parameter, {id}"
            ));
        }
        if state.shape != parameter.shape || state.dtype != parameter.dtype {
            return wrong(format!(
                "`{name}` is {:?} of {:?}, its parameter `{}` {:?} of {:?}",
                state.dtype, state.shape, parameter.name, parameter.dtype, parameter.shape
            ));
        }
    }
    for (name, rank) in scalars {
        let Some(id) = name.strip_suffix(RANK).and_then(|id| id.parse().ok()) else {
            continue;
        };
        let known = by_id.get(&id).map(|parameter| parameter.shape.len());
        if known.is_none() || usize::try_from(rank).ok() != known {
            return wrong(format!(
                "`{name}` is {rank:?}, but its parameter has {known:?}"
            ));
        }
    }
    Ok(())
}

/// Tensors and single numbers of a record.
type Record = (Vec<Tensor>, Vec<(String, Scalar)>);

/// Reads a record but for its tensors' values.
fn read(path: &Path) -> Result<Record, LearnerError> {
    let wrong = |error| LearnerError::format(path, format!("cannot be read: {error}"));
    let reader = Reader::from_file_exact(path).map_err(wrong)?;
    let scalars = reader.scalars().clone().into_iter().collect();
    Ok((reader.into_tensors().map_err(wrong)?, scalars))
}

#[cfg(test)]
mod tests {
    use burn::store::burn_pack::Writer;
    use burn::tensor::{Bytes, DType};

    use super::*;

    fn tensor(name: &str, shape: &[usize], id: Option<u64>) -> Tensor {
        let bytes = vec![0; 4 * shape.iter().product::<usize>()];
        let bytes = Bytes::from_bytes_vec(bytes);
        Tensor::new(name.into(), DType::F32, shape.to_vec(), id, bytes)
    }

    #[test]
    fn a_state_that_is_not_its_parameters_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let [model, optimizer] =
            ["model.bpk", "optimizer.bpk"].map(|name| folder.path().join(name));
        let weight = tensor("a.weight", &[2, 3], Some(7));
        Writer::new(vec![weight]).write_to_file(&model).unwrap();
        let refusal = |state: Tensor, rank: usize| {
            let _ = std::fs::remove_file(&optimizer);
            let writer = Writer::new(vec![state]).with_scalar("7.__rank", rank.into());
            writer.write_to_file(&optimizer).unwrap();
            check(&model, &optimizer)
                .err()
                .map(|error| error.to_string())
        };
        assert_eq!(refusal(tensor("7.moment", &[2, 3], Some(7)), 2), None);
        for (state, rank, words) in [
            (tensor("7.moment", &[2, 3], None), 2, "of no parameter"),
            (tensor("8.moment", &[2, 3], Some(8)), 2, "of no parameter"),
            (tensor("7.moment", &[3, 2], Some(7)), 2, "`a.weight`"),
            (tensor("9.moment", &[2, 3], Some(7)), 2, "the number of its"),
            (tensor("7.moment", &[2, 3], Some(7)), 3, "__rank"),
        ] {
            let told = refusal(state, rank).unwrap();
            assert!(
                told.contains(words) && told.contains("optimizer.bpk"),
                "{told}"
            );
        }
    }
}
