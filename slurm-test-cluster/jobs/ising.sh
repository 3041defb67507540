#!/bin/bash
#SBATCH --job-name=ising
#SBATCH --ntasks=1
#SBATCH --time=10
# An ordinary batch script: nothing in it is about checkpoints.
python3 ising.py "$@"
