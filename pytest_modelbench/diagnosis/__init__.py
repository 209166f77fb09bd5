"""Why a smaller model is not faster: hypotheses, each with a counterfactual that is timed beside the student."""
