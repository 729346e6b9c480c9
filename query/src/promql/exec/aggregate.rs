//! Aggregations over series.

mod count_values;
mod fold;
mod group;
mod native;
mod quantile;
mod rank;
mod ratio;
mod state;

use super::{Context, Rows, open as open_node, scalar};
use crate::error::QueryError;
use crate::promql::ast::AggregateOp;
use crate::promql::plan::{AggregateNode, AggregateParam};
use crate::step::StepGrid;
use group::grouping;

pub(crate) use group::Groups;

/// Opens an aggregation.
pub(crate) fn open<'a>(
    node: &'a AggregateNode,
    grid: StepGrid,
    ctx: &'a Context<'a>,
) -> Result<Box<dyn Rows + 'a>, QueryError> {
    use state::{AverageState, CountState, GroupState, MaxState, MinState, SumState};
    use state::{DeviationState, VarianceState};
    if let AggregateParam::Label(label) = &node.param
        && label.is_empty()
    {
        return Err(QueryError::Execution("invalid label name \"\"".to_owned()));
    }
    // PARITY(prometheus): the parameter is evaluated first.
    let param = match &node.param {
        AggregateParam::Number { value, span } => {
            Some((scalar::evaluate(value, grid, ctx)?, *span))
        }
        AggregateParam::None | AggregateParam::Label(_) => None,
    };
    let number = || {
        let missing = || QueryError::Parse(format!("{} needs a number", node.op.as_str()));
        param.ok_or_else(missing)
    };
    let input = open_node(&node.input, grid, ctx)?;
    let fold = Fold { node, input: &*input, grid, ctx };
    match node.op {
        AggregateOp::Sum => fold.run::<SumState>(),
        AggregateOp::Avg => fold.run::<AverageState>(),
        AggregateOp::Count => fold.run::<CountState>(),
        AggregateOp::Min => fold.run::<MinState>(),
        AggregateOp::Max => fold.run::<MaxState>(),
        AggregateOp::Group => fold.run::<GroupState>(),
        AggregateOp::Stddev => fold.run::<DeviationState>(),
        AggregateOp::Stdvar => fold.run::<VarianceState>(),
        AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk => {
            let (param, _) = number()?;
            rank::open(node, &*input, &param, grid, ctx)
        }
        AggregateOp::LimitRatio => ratio::open(node, input, number()?, grid, ctx),
        AggregateOp::Quantile => quantile::open(node, input, number()?, grid, ctx),
        AggregateOp::CountValues => match &node.param {
            AggregateParam::Label(label) => count_values::open(node, input, label, grid, ctx),
            _ => Err(QueryError::Parse("count_values needs a label name".to_owned())),
        },
    }
}

/// An aggregation that folds values into states.
struct Fold<'a, 'b> {
    node: &'a AggregateNode,
    input: &'b dyn Rows,
    grid: StepGrid,
    ctx: &'a Context<'a>,
}

impl<'a> Fold<'a, '_> {
    fn run<S: state::State>(self) -> Result<Box<dyn Rows + 'a>, QueryError> {
        let projection = grouping(self.node);
        let groups = Groups::new(self.input.series(), projection, self.ctx)?;
        let block = fold::fold::<S>(self.node, self.input, &groups, self.grid, self.ctx)?;
        Ok(Box::new(block))
    }
}
