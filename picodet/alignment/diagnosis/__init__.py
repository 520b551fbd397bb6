"""Why a layer or a weight differs: known causes, tried one by one."""
